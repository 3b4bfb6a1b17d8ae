"""References into an execution: dotted paths that begin with a root, or with the payload."""

from collections.abc import Callable
from typing import Any, Final

from stepwell.programs.pipeline.execution import Execution, found
from stepwell.programs.pipeline.faults import PathNotFoundError

Value = Callable[[Execution], Any]
"""A compiled value: what it is in an execution. Raises `RuleError`."""

ROOTS: Final = ("state", "currentEvent", "lastAppendedEvent", "context", "meta", "stages")
"""What `$ref` and functions may begin with; anything else is a path of the payload."""


def absolute(text: str) -> tuple[str, ...] | None:
    """The parts of a path that begins with a root and a dot; None for any other text."""
    root, dot, rest = text.partition(".")
    return (root, *rest.split(".")) if dot and rest and root in ROOTS else None


def reader(path: tuple[str, ...]) -> Value:
    """Reads a path from its root on; what is read is a copy."""
    root, inner = path[0], path[1:]
    if root == "state" and len(inner) == 1:
        return _state_member(inner[0])
    if root == "currentEvent" and len(inner) == 1:
        return _payload_member(inner[0])
    shown = ".".join(path)

    def read(execution: Execution) -> Any:
        try:
            return execution.copied(found(execution.root(root), inner))
        except KeyError:
            raise PathNotFoundError(shown) from None
        except PathNotFoundError:
            raise PathNotFoundError(shown) from None

    return read


def _state_member(name: str) -> Value:
    """The commonest paths have ways of their own: they are read for every message."""

    def read(execution: Execution) -> Any:
        state = execution.state
        if state is None or name not in state:
            raise PathNotFoundError(f"state.{name}")
        return execution.copied(state[name])

    return read


def _payload_member(name: str) -> Value:
    def read(execution: Execution) -> Any:
        try:
            return execution.copied(execution.payload[name])
        except KeyError:
            raise PathNotFoundError(f"currentEvent.{name}") from None

    return read


def payload_reader(text: str) -> Value:
    """Reads a path of the payload."""
    return reader(("currentEvent", *text.split(".")))


def with_fallback(text: str) -> Value:
    """A path of the payload, or else of the state: what a whole assignment may refer to."""
    of_payload, of_state = payload_reader(text), reader(("state", *text.split(".")))

    def read(execution: Execution) -> Any:
        try:
            return of_payload(execution)
        except PathNotFoundError:
            return of_state(execution)

    return read
