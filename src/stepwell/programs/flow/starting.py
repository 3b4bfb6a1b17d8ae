"""What a definition says about starting and listening: times, events that start runs, events that runs hear."""

from collections.abc import Mapping
from typing import Any

from stepwell.core.errors import ProgramError
from stepwell.core.history import Listen
from stepwell.core.program import Timing
from stepwell.programs.flow.checking import Definition
from stepwell.programs.flow.expressions import Expression, Variables
from stepwell.programs.flow.expressions.filter_faults import FILTER_FAULTS
from stepwell.programs.flow.model.tasks import ListenTask
from stepwell.programs.flow.model.walking import parts_in
from stepwell.programs.flow.model.workflow import Workflow
from stepwell.programs.flow.nodes.filters import Filter, Strategy, strategy_of
from stepwell.programs.flow.nodes.listening import listening_of


def timing_of(workflow: Workflow) -> Timing | None:
    """At which times it starts by itself, if at all."""
    schedule = workflow.schedule
    if schedule is None or schedule.on is not None:
        return None
    return Timing(
        cron=schedule.cron,
        every_s=schedule.every.seconds if schedule.every else None,
        after_s=schedule.after.seconds if schedule.after else None,
    )


def listens_of(workflow: Workflow) -> tuple[Listen, ...]:
    """What the runs want to hear, whether they will come to the tasks or not."""
    found = (
        listen for task in parts_in(workflow) if isinstance(task, ListenTask) for listen in listening_of(task).listens
    )
    return tuple(dict.fromkeys(found))


def trigger_of(definition: Definition) -> "EventTrigger | None":
    """The events that start runs, if any do."""
    schedule = definition.workflow.schedule
    if schedule is None or schedule.on is None:
        return None
    return EventTrigger(strategy_of(schedule.on), schedule.on.at, definition.source.value)


class EventTrigger:
    """`core.program.Trigger`. `any` of no filters stands for every event."""

    def __init__(self, strategy: Strategy, at: str, definition: Any) -> None:
        self._filters = strategy.filters
        self._definition = definition
        self.all = strategy.kind == "all"
        signal = f"event:{at}"
        self.listens = tuple(each.listen(signal) for each in strategy.filters) or strategy.listens(signal)

    async def matches(self, index: int, event: Mapping[str, Any]) -> bool:
        """A filter that fails on an event does not match: there is no run that could fail."""
        if not self._filters:
            return True
        each: Filter = self._filters[index]
        try:
            if not await each.passes(event, self._lookup):
                return False
            return await each.correlated(event, {}, self._lookup, None) is not None
        except ProgramError as error:
            FILTER_FAULTS.note(error.problem.instance, "", error)
            return False

    def _lookup(self, expression: Expression) -> Variables:
        """Of the variables there is only the definition: nothing runs yet."""
        known = {"workflow": {"definition": self._definition}}
        return {name: known.get(name) for name in expression.names}
