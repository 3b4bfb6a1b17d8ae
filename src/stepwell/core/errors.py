"""Every error Stepwell raises on purpose, and the record that keeps a failure in the history.

One root class, one class per thing a caller can do something about. A failure inside a run is data first:
a `Problem` (RFC 9457 members plus what retry needs), so that it reads the same live and after recovery.
"""

from typing import Any

import msgspec

# The standard's error types (Serverless Workflow DSL 1.0, "Standard Error Types"), reference form.
ERROR_BASE = "https://serverlessworkflow.io/spec/1.0.0/errors/"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure as a record: RFC 9457 members, and whether trying again can help.

    `retry_after_s` is a delay asked for by the failing side (HTTP `Retry-After`); `data` is any JSON value.
    """

    type: str
    title: str = ""
    status: int = 500
    detail: str = ""
    instance: str = ""
    data: Any = None
    retryable: bool = True
    retry_after_s: float | None = None

    def __str__(self) -> str:
        text = self.detail or self.title or self.type
        return f"{text} ({self.instance})" if self.instance else text


def problem(kind: str, detail: str, *, status: int = 500, title: str = "", **rest: Any) -> Problem:
    """A `Problem` of one of the standard types: `kind` is its last path segment, e.g. `timeout`."""
    return Problem(
        type=ERROR_BASE + kind,
        title=title or f"{kind.capitalize()} error",
        status=status,
        detail=detail,
        **rest,
    )


_TIME_OUTS = {"Step time-out": "step_timeout", "Heartbeat time-out": "heartbeat_timeout"}


def code_of(problem: Problem) -> str:
    """A failure in one word: the last segment of its type; of an attempt that took too long, which limit it was."""
    kind = problem.type.rstrip("/").rsplit("/", 1)[-1]
    return _TIME_OUTS.get(problem.title, kind) if kind == "timeout" else kind


class StepwellError(Exception):
    """Root of all errors that Stepwell raises on purpose."""


class ProgramError(StepwellError):
    """A failure inside a run, as a program sees it: raised by verbs, caught by `try`/`catch`.

    `forget` names the keys whose recorded outcomes a retry of the run must forget so that they happen again.
    """

    def __init__(self, problem: Problem, forget: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.forget = forget

    def __str__(self) -> str:
        return str(self.problem)


class StepFailure(StepwellError):
    """Raised by a user's function to fail its attempt with a chosen problem (type, status, retryable)."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return str(self.problem)


class Suspended(BaseException):
    """The driver let go of the run: unwinds a program without ending its run.

    A `BaseException`, so that no `except Exception` in a program or a user's function can swallow it.
    """


class RefusedError(StepwellError):
    """A command that the rules do not allow now.

    `code` is stable (`wrong_status`, `not_found`, ...); `status` is the run's status, `waiting_for` what it waits for
    if it does; `allowed_from` lists the statuses in which the command would have been accepted; `standing` holds what
    already stands (a decision).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        run_id: str = "",
        status: str = "",
        waiting_for: str = "",
        allowed_from: tuple[str, ...] = (),
        standing: Any = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.run_id = run_id
        self.status = status
        self.waiting_for = waiting_for
        self.allowed_from = allowed_from
        self.standing = standing


class RunNotFoundError(RefusedError):
    """No run has this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__("not_found", f"there is no run {run_id}", run_id=run_id)


class WorkflowNotFoundError(StepwellError):
    """No workflow is known under this name (or version)."""

    def __init__(self, name: str, version: str | None = None) -> None:
        super().__init__(name, version)
        self.name = name
        self.version = version

    def __str__(self) -> str:
        version = f" in version {self.version}" if self.version else ""
        return f"there is no workflow {self.name!r}{version}"


class InvalidInputError(StepwellError):
    """A value given from outside is not what was asked for: not JSON, or not of the input schema."""


class StorageError(StepwellError):
    """The store cannot do what was asked: what, where, and what to do about it, in one sentence.

    `told` is for callers from elsewhere, who are not to learn where on which machine the database is.
    """

    def __init__(self, message: str, *, told: str = "the database cannot do this; the server's log says why") -> None:
        super().__init__(message)
        self.told = told


class NotRecordableError(StorageError):
    """Something about this run cannot be written, now or later: its content, not the store, is at fault."""

    def __init__(self, message: str) -> None:
        super().__init__(message, told=message)


class NewerHistoryError(StorageError):
    """A run's history holds an event that this version does not know: nodes of a newer one drive and show it."""

    def __init__(self, fault: Exception) -> None:
        message = (
            f"a newer Stepwell wrote a history that this version does not understand ({fault}): upgrade this one"
        )
        super().__init__(message, told=message)


class StorageUnavailableError(StorageError):
    """A passing fault of the store (disk full, database locked or away): work resumes by itself."""
