"""The port to distributed tracing. An engine without it has none, at no cost."""

from collections.abc import Sequence
from typing import Any, Protocol

from stepwell.core.history import AnyEvent
from stepwell.core.program import StepContext, Work
from stepwell.core.state import State


class Tracing(Protocol):
    """Told of runs that begin, of attempts, and of what is on disk: spans are made of that."""

    def begin(self, run_id: str) -> str:
        """The traceparent under which a new run stands: of what goes on in this task, or of a new trace."""

    async def perform(self, work: Work, attempt: StepContext) -> Any:
        """Do the work of an attempt as its span."""

    def committed(self, state: State, first_seq: int, events: Sequence[AnyEvent]) -> None:
        """Events of a run that are on disk now, the first of them at `first_seq`; `state` has them."""
