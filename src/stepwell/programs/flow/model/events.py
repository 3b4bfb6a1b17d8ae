"""Events that a flow emits and consumes. Read as a whole; not supported yet."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import field

from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.check import Check, describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.model.text import Condition, Text, read_fields


def read_event(value: Any, at: str, check: Check) -> Any:
    """The attributes of an event to emit (CloudEvents 1.0 §3): `source` and `type` at least."""
    if not isinstance(value, dict):
        return check.fault(at, f"expected an object, found {describe(value)}")
    for name in ("source", "type"):
        if name not in value:
            check.fault(f"{at}/{name}", f"expected the property {name!r}, found no such property")
    return read_fields(value, at, check)


def read_event_filter(value: Any, at: str, check: Check) -> Any:
    """The attributes that an event must have: at least one."""
    if not isinstance(value, dict) or not value:
        return check.fault(at, f"expected an object with at least one attribute, found {describe(value)}")
    return read_fields(value, at, check)


class EventDefinition(Part, frozen=True, kw_only=True):
    OPEN: ClassVar[bool] = True

    with_: Annotated[Expression, read_event] = field(name="with")


class Correlation(Part, frozen=True, kw_only=True):
    from_: Condition = field(name="from")
    expect: Text | None = None


class EventFilter(Part, frozen=True, kw_only=True):
    with_: Annotated[Expression, read_event_filter] = field(name="with")
    correlate: Mapping[str, Correlation] = {}


class EventStrategy(Part, frozen=True, kw_only=True):
    """Which events to consume: one of each filter, of any filter (until something), or just one."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("all", "any", "one")

    all: tuple[EventFilter, ...] | None = None
    any: tuple[EventFilter, ...] | None = None
    one: EventFilter | None = None
    until: "Condition | EventStrategy | None" = None


class ListenTarget(Part, frozen=True, kw_only=True):
    to: EventStrategy
    read: Literal["data", "envelope", "raw"] = "data"


class EmitTarget(Part, frozen=True, kw_only=True):
    event: EventDefinition
