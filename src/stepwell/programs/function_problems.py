"""How the failures of users' functions read in a history."""

import traceback

from stepwell.core.errors import Problem, ProgramError, StepFailure, problem

MAX_TRACEBACK_LINES = 12
MAX_TEXT = 4_000


def failed(error: Exception) -> StepFailure:
    """What a function raised, as the failure of its attempt. A problem of its own stays as it is."""
    if isinstance(error, StepFailure | ProgramError):
        return StepFailure(error.problem)
    found = problem("runtime", _text(error), title=type(error).__name__, data={"traceback": _last_lines(error)})
    return StepFailure(found)


def bad_argument(function: str, parameter: str, detail: str) -> StepFailure:
    """Trying again cannot help: the arguments stay the same."""
    found = problem(
        "validation", f"function {function!r}, parameter {parameter!r}: {detail}", status=400, retryable=False
    )
    return StepFailure(found)


def result_problem(error: Exception) -> Problem:
    return problem(
        "runtime",
        f"expected a result that can be written as JSON, found another: {error}",
        title=type(error).__name__,
        retryable=False,
    )


def _text(error: Exception) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except Exception:  # noqa: BLE001  the class is the user's too
        return ""


def _last_lines(error: Exception) -> list[str]:
    """The end of the traceback, without our own frame at its start."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    lines = "".join(traceback.format_exception(type(error), error, frames, limit=-8)).splitlines()
    return [line[:500] for line in lines[-MAX_TRACEBACK_LINES:]]
