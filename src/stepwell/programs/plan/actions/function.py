"""`task` with `action: function`: a registered Python function, in one step."""

from typing import Any

from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.plan.actions.port import policy_of
from stepwell.programs.plan.actions.working import Working
from stepwell.programs.plan.model import FunctionTask
from stepwell.programs.plan.scope import Place


class FunctionAction:
    """The step's own retry and time limits win over the function's."""

    BY_ITSELF = FAILS_BY_ITSELF = KEEPS_TIME = REPEATS = True

    def __init__(self, task: FunctionTask, working: Working) -> None:
        self._task = task
        self._working = working

    async def perform(self, place: Place) -> Any:
        name, step = self._task.function, place.step
        function = place.facts.services.find(name)
        if function is None:
            raise failure("configuration", f"there is no function {name!r}", place.pointer("function"), status=400)
        arguments = place.filled(self._task.args, "args") or {}
        if not isinstance(arguments, dict):
            text = f"expected an object of arguments, found {describe(arguments)}"
            raise failure("expression", text, place.pointer("args"), status=400)
        heartbeat_timeout_s = step.heartbeat_timeout_s
        return await place.ctx.step(
            place.key,
            self._working.work(place, function.work(arguments)),
            name=step.name,
            retry=policy_of(step, function.retry),
            timeout_s=function.timeout_s if step.timeout_s is None else step.timeout_s,
            heartbeat_timeout_s=function.heartbeat_timeout_s if heartbeat_timeout_s is None else heartbeat_timeout_s,
            input=place.veil.value(arguments),
        )
