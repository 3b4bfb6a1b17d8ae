"""From the model of a `listen` to what its node needs."""

import msgspec

from stepwell.core.history import Listen
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.model.events import EventStrategy
from stepwell.programs.flow.model.tasks import ListenTask
from stepwell.programs.flow.nodes.cloud_events import Read
from stepwell.programs.flow.nodes.filters import Strategy, strategy_of


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled `listen`. `until_events` are consumed too, but are no part of the output."""

    at: str
    name: str
    strategy: Strategy
    read: Read
    until: Expression | None = None
    until_events: Strategy | None = None

    @property
    def signal(self) -> str:
        return f"event:{self.at}/listen/to"

    @property
    def listens(self) -> tuple[Listen, ...]:
        """What runs with this task want to hear."""
        more = self.until_events.listens(self.signal) if self.until_events is not None else ()
        return tuple(dict.fromkeys((*self.strategy.listens(self.signal), *more)))


def listening_of(task: ListenTask) -> Listening:
    to = task.listen.to
    return Listening(
        at=task.at,
        name=task.name,
        strategy=strategy_of(to),
        read=task.listen.read,
        until=to.until if isinstance(to.until, Expression) else None,
        until_events=strategy_of(to.until) if isinstance(to.until, EventStrategy) else None,
    )
