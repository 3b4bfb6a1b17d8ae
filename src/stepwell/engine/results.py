"""What callers of the engine get: that a run exists, and how it ended."""

from typing import Any, Final

import msgspec

from stepwell.core.errors import Problem
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.engine.attempts import decode
from stepwell.engine.projections import ended_badly

_COMPLETED: Final = Status.COMPLETED  # as in `core.run`: a look-up less on the path of every run


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A run that exists. `created` is False when the start key had started it before."""

    run_id: str
    created: bool = True


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: `output` when it completed, `error` when it failed or was cancelled."""

    run_id: str
    status: Status
    output: Any = None
    error: Problem | None = None


def result_of(state: State) -> RunResult:
    """How a run stands."""
    return RunResult(
        run_id=state.run_id,
        status=state.status,
        error=ended_badly(state),
        output=decode(state.output) if state.phase is _COMPLETED else None,
    )
