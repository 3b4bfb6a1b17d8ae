"""How a hosted run ends: its output, or its failure as a problem."""

from typing import Any

from stepwell.core.errors import Problem, ProgramError, problem
from stepwell.programs.code.seam import StopEvent, UnreconstructedException, WorkflowTimeoutError

MAX_TEXT = 4_000


def result_of(stop: StopEvent) -> Any:
    """The result of a run: that of a plain stop event, or the fields of a subclass. A JSON value."""
    fields = stop.model_dump(mode="json")
    return fields.get("result") if type(stop) is StopEvent else fields


def problem_of(fault: BaseException, **data: Any) -> Problem:
    """What a step or the control loop raised, as a record."""
    text = str(fault)[:MAX_TEXT] or type(fault).__name__
    if isinstance(fault, WorkflowTimeoutError):
        return problem("timeout", text, status=408, title="Workflow time-out", retryable=False, data=data or None)
    return problem("runtime", text, title=_title(fault), retryable=False, data=data or None)


def failure(fault: Exception, blame: tuple[str, ...]) -> ProgramError:
    """The failure of a run; `blame` are the keys that a retry does again."""
    return ProgramError(problem_of(fault), blame)


def _title(fault: BaseException) -> str:
    original = fault.original_type if isinstance(fault, UnreconstructedException) else None
    return original.rpartition(".")[2] if original else type(fault).__name__
