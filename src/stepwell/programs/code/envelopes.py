"""Events as they travel: from an event object to its envelope (`core.typed.Envelope`)."""

from typing import Any

from stepwell.core.typed import Envelope
from stepwell.programs.code.seam import Event, InternalDispatchEvent


def envelope(event: Event) -> Envelope:
    """An event of a run, as its stream shows it."""
    kind = type(event)
    above = type_names(kind)
    return Envelope(
        value=event.model_dump(mode="json"),
        qualified_name=qualified_name(kind),
        type=kind.__name__,
        types=above or None,
        internal=isinstance(event, InternalDispatchEvent),
    )


def qualified_name(kind: type[Any]) -> str:
    """A class as the original names it: its module and its own name."""
    return f"{kind.__module__}.{kind.__name__}"


def type_names(kind: type[Event]) -> tuple[str, ...]:
    """The names of the event classes between a class and `Event`, nearest first."""
    return tuple(above.__name__ for above in kind.__mro__[1:] if issubclass(above, Event) and above is not Event)
