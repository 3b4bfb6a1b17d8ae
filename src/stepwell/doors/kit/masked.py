"""A history as anybody may see it who may see the run: secrets of the definition, and what looks like one, masked."""

from typing import Any

import msgspec

from stepwell.core import history as h
from stepwell.core.errors import Problem
from stepwell.core.program import Hiding
from stepwell.security.masking import MASKS
from stepwell.store.model import StreamItem

_OURS = ("type", "at", "key", "actor")


def masked_event(event: h.AnyEvent, hiding: Hiding | None) -> dict[str, Any]:
    """An event as the object that it is on disk: it can be read as an event again."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    if hiding is not None:
        for name, value in found.items():
            if name == "input":
                found[name] = hiding.input(value)
            elif name not in _OURS:
                found[name] = _hidden(getattr(event, name), value, hiding)
    masked: dict[str, Any] = MASKS.data(found)
    if isinstance(error := getattr(event, "error", None), Problem):
        masked["error"]["status"] = error.status
    return masked


def _hidden(value: Any, shown: Any, hiding: Hiding) -> Any:
    """What an event says without secrets; `shown` is the same as JSON. Numbers that are ours (attempts, instants,
    limits) stay, or nobody could read the event.
    """
    match value:
        case Problem():
            return msgspec.to_builtins(hiding.problem(value))
        case msgspec.Struct():
            return {name: _hidden(getattr(value, name, None), part, hiding) for name, part in shown.items()}
        case tuple():
            return [_hidden(part, seen, hiding) for part, seen in zip(value, shown, strict=True)]
        case int() | float():
            return shown
    return hiding.value(shown)


def masked_item(item: StreamItem, hiding: Hiding | None) -> StreamItem:
    """An item of the stream."""
    return item if hiding is None else msgspec.structs.replace(item, data=hiding.value(item.data))
