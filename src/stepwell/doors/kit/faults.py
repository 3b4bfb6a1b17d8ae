"""What can be wrong with a request before any rule of the engine is asked: errors that each door's table words."""

from collections.abc import Sequence

import msgspec

from stepwell.core.errors import StepwellError

MAX_FAULTS = 50
"""Faults told at once: somebody mends these first."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: where (names and indexes from the outside in, empty: the whole), and what."""

    path: tuple[str | int, ...] = ()
    message: str

    @classmethod
    def at(cls, pointer: str, message: str) -> "Fault":
        """Of a place that is given as a JSON pointer (RFC 6901)."""
        names = [name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]]
        return cls(path=tuple(names), message=message)

    @property
    def place(self) -> str:
        """The path in text, like `steps.0.config.url`; "" for the whole."""
        return ".".join(map(str, self.path))

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.path else self.message


class InvalidRequestError(StepwellError):
    """A body, a query or a path that is not of the shape asked for; `faults` has every fault found (50 at most)."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(faults)
        self.faults = tuple(faults[:MAX_FAULTS])

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))


class NotJsonError(StepwellError):
    """A body that is no JSON text; says what was found."""


class MediaTypeError(StepwellError):
    """A body of another media type than those taken here."""

    def __init__(self, expected: Sequence[str], found: str) -> None:
        super().__init__(expected, found)
        self.expected = tuple(expected)
        self.found = found

    def __str__(self) -> str:
        return f"Content-Type: expected {' or '.join(self.expected)}, found {self.found or 'none'}"


class MissingError(StepwellError):
    """What a path names does not exist, or not for this principal. `id` is empty where it must not be repeated."""

    def __init__(self, what: str, id: str) -> None:
        super().__init__(what, id)
        self.what = what
        self.id = id

    def __str__(self) -> str:
        return f"there is no {self.what} {self.id}".rstrip()


class KeyReusedError(StepwellError):
    """An idempotency key came before with another request."""

    def __str__(self) -> str:
        return "the idempotency key was used before with another request: choose a new one"


class KeyPendingError(StepwellError):
    """The first request with this idempotency key is still being answered."""

    retry_after_s = 1

    def __str__(self) -> str:
        return "the first request with this idempotency key is still being answered: ask again soon"
