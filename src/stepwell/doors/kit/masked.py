"""A history as anybody may see it who may see the run: secrets of the definition, and what looks like one, masked."""

from typing import Any

import msgspec

from stepwell.core import history as h
from stepwell.core.errors import Problem
from stepwell.core.program import Hiding
from stepwell.engine import Engine
from stepwell.security.masking import MASKS
from stepwell.store.port import StreamItem

_OURS = ("type", "at", "key", "actor")


async def hiding_of(engine: Engine, run_id: str) -> Hiding | None:
    """What hides the secrets of a run; None when its definition has none. Raises `RunNotFoundError`."""
    compiled = await engine.compiled_of(await engine.history(run_id, limit=1))
    if compiled is None or compiled.hiding is None:
        return None
    found: Hiding = compiled.hiding((await engine.state(run_id)).input)
    return found


def masked_event(event: h.AnyEvent, hiding: Hiding | None) -> dict[str, Any]:
    """An event as the object that it is on disk: it can be read as an event again."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    if hiding is not None:
        for name, value in found.items():
            if name not in _OURS and not isinstance(value, int | float):  # numbers here are ours: attempts, instants
                found[name] = hiding.input(value) if name == "input" else hiding.value(value)
    masked: dict[str, Any] = MASKS.data(found)
    if isinstance(error := getattr(event, "error", None), Problem):
        masked["error"]["status"] = error.status
    return masked


def masked_item(item: StreamItem, hiding: Hiding | None) -> StreamItem:
    """An item of the stream."""
    return item if hiding is None else msgspec.structs.replace(item, data=hiding.value(item.data))
