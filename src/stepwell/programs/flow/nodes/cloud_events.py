"""CloudEvents 1.0 as flows see them, in JSON form: what one emits, and how one reads those that it consumes."""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Literal

from stepwell.core.program import RunContext
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.scope import date_time, failure

CloudEvent = Mapping[str, Any]
Read = Literal["data", "envelope", "raw"]

_CONTENT = ("data", "data_base64")
_TEXTS = ("id", "source", "type", "time", "subject", "datacontenttype", "dataschema")


def new_event(given: Any, ctx: RunContext, key: str, at: str) -> dict[str, Any]:
    """The event that a task emits under `key`: what the definition gives, and what it leaves out. An attribute that
    is null is left out. Raises `ProgramError` of the type `validation`."""
    if not isinstance(given, dict):
        raise failure("validation", f"expected an object of attributes, found {describe(given)}", at, status=400)
    source = f"/runs/{ctx.run.id}"
    event = {
        "specversion": "1.0",
        "id": str(ctx.uuid(key)),
        "source": source,
        "time": date_time(ctx.now)["iso8601"],
        **{name: value for name, value in given.items() if value is not None or name == "data"},
    }
    for name, value in event.items():
        if name not in _CONTENT:
            _check_attribute(name, value, f"{at}/{name}")
    if "type" not in event:
        raise failure("validation", "expected a text for 'type', found null", f"{at}/type", status=400)
    return event


def _check_attribute(name: str, value: Any, at: str) -> None:
    """Attributes are texts, whole numbers and booleans (CloudEvents 1.0 §2, "Type System"); some must be texts."""
    if isinstance(value, str):
        if value:
            return
    elif isinstance(value, bool | int) and name not in _TEXTS:
        return
    expected = "a text that is not empty" if name in _TEXTS else "text, a whole number, true or false"
    raise failure("validation", f"expected {expected} for {name!r}, found {describe(value)}", at, status=400)


def read_event(event: CloudEvent, read: Read) -> Any:
    """What a task gets to see of an event: its data, all of it, or the bytes of its data in base64."""
    match read:
        case "envelope":
            return dict(event)
        case "data":
            return event.get("data", event.get("data_base64"))
    return event["data_base64"] if "data_base64" in event else b64encode(_content(event)).decode()


def _content(event: CloudEvent) -> bytes:
    """The bytes of an event's data: JSON unless it is a text of another kind."""
    data = event.get("data")
    kind = str(event.get("datacontenttype", "application/json")).partition(";")[0].strip().lower()
    if isinstance(data, str) and not (kind.endswith("/json") or kind.endswith("+json")):
        return data.encode()
    return b"" if "data" not in event else json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
