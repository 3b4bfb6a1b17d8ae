"""What can go wrong with the evaluation of an expression by jq, and how it is said."""

from stepwell.core.errors import StepwellError
from stepwell.programs.flow.expressions.values import ExpressionError

__all__ = ["ExpressionError", "JqClosedError", "JqError", "JqUnavailableError"]


class JqError(ExpressionError):
    """An expression that has no result: jq's own words in `found`, or how it was stopped.

    `text` is the expression; it is not part of the message, since whoever reports the error names it anyway.
    """

    def __init__(self, found: str, *, text: str = "", expected: str = "") -> None:
        super().__init__(f"expected {expected}, found {found}" if expected else found)
        self.text = text
        self.expected = expected
        self.found = found


class JqUnavailableError(StepwellError):
    """No worker could be started. Not an `ExpressionError`: no expression is at fault, no `catch` should see it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"expected a jq worker process to start, found: {self.reason}"


class JqClosedError(StepwellError):
    """An evaluation was asked for after `close()`."""

    def __str__(self) -> str:
        return "expected open jq workers, found them closed"
