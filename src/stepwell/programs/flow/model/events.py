"""Events that a flow emits, and those it listens to. Attribute names are those of CloudEvents 1.0 §3."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import field

from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.binding import Part, reader_of
from stepwell.programs.flow.check import BROKEN, Check, describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.expressions.patterns import pattern
from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.model.text import Condition, Text, read_fields

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,100}|data_base64")


def read_event(value: Any, at: str, check: Check) -> Any:
    """The attributes of an event to emit: `source` and `type` at least."""
    if not isinstance(value, dict):
        return check.fault(at, f"expected an object, found {describe(value)}")
    for name in ("source", "type"):
        if name not in value:
            check.fault(f"{at}/{name}", f"expected the property {name!r}, found no such property")
    _check_attributes(value, at, check)
    return read_fields(value, at, check)


def _check_attributes(value: dict[str, Any], at: str, check: Check) -> None:
    for name, item in value.items():
        place = f"{at}/{escape(name)}"
        if not _ATTRIBUTE.fullmatch(name):
            check.fault(
                place, f"expected an attribute of an event (lower-case letters and digits), found {describe(name)}"
            )
        elif name != "data" and (isinstance(item, list | dict | float) or item == ""):
            check.fault(place, f"expected text, a whole number, true or false, found {describe(item)}")
    if value.get("specversion", "1.0") != "1.0":
        check.fault(f"{at}/specversion", f"expected '1.0', found {describe(value['specversion'])}")


class EventPattern(Part, frozen=True, kw_only=True):
    """What an event must be like, attribute by attribute. `literals` are the `type` and `source` that are no
    expressions: an event with others never comes this far."""

    attributes: Mapping[str, Expression] = {}
    literals: Mapping[str, str] = {}


def read_event_filter(value: Any, at: str, check: Check) -> Any:
    """The attributes that an event must have: at least one."""
    if not isinstance(value, dict) or not value:
        return check.fault(at, f"expected an object with at least one attribute, found {describe(value)}")
    _check_attributes(value, at, check)
    broken: list[Any] = []

    def compile_text(inside: str, place: str) -> Expression:
        expression = check.expression(inside, place)
        if expression is not BROKEN:
            return expression  # type: ignore[no-any-return]  # `BROKEN` makes it Any
        broken.append(expression)
        return jq.constant(None)

    attributes = {
        name: pattern(item if name == "data" else _as_text(item), f"{at}/{escape(name)}", compile_text)
        for name, item in value.items()
    }
    literals = {
        name: value[name]
        for name in ("type", "source")
        if isinstance(value.get(name), str) and jq.expression_text(value[name]) is None
    }
    return BROKEN if broken else EventPattern(at=at, attributes=attributes, literals=literals)


def _as_text(item: Any) -> Any:
    """An attribute as text: one that came in an HTTP header is nothing else (CloudEvents 1.0 §2)."""
    return item if isinstance(item, str | list | dict) or item is None else attribute_text(item)


def attribute_text(value: Any) -> str:
    """The canonical text of an attribute (CloudEvents 1.0 §2, "Type System")."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class EventDefinition(Part, frozen=True, kw_only=True):
    OPEN: ClassVar[bool] = True

    with_: Annotated[Expression, read_event] = field(name="with")


class Correlation(Part, frozen=True, kw_only=True):
    """What `from` gives for an event must be `expect`, or else what it gave for the first event."""

    from_: Condition = field(name="from")
    expect: Text | None = None


class EventFilter(Part, frozen=True, kw_only=True):
    with_: Annotated[EventPattern, read_event_filter] = field(name="with")
    correlate: Mapping[str, Correlation] = {}


class EventStrategy(Part, frozen=True, kw_only=True):
    """Which events to consume: one of each filter, of any filter (until something), or just one."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("all", "any", "one")

    all: tuple[EventFilter, ...] | None = None
    any: tuple[EventFilter, ...] | None = None
    one: EventFilter | None = None
    until: "Condition | EventStrategy | None" = None

    @property
    def filters(self) -> tuple[EventFilter, ...]:
        """All of them; none stands for every event."""
        return (self.one,) if self.one is not None else self.all or self.any or ()


def read_strategy(value: Any, at: str, check: Check) -> Any:
    """As the schema has it: `until` stands beside `any` only, and not inside another `until`."""
    until = value.get("until") if isinstance(value, dict) else None
    if until is not None and "any" not in value:
        check.fault(f"{at}/until", "expected 'until' beside 'any' only, found it without 'any'")
    if isinstance(until, dict) and "until" in until:
        check.fault(f"{at}/until/until", "expected one 'until', found another one inside it")
    return reader_of(EventStrategy)(value, at, check)


AnyStrategy = Annotated[EventStrategy, read_strategy]


class ListenTarget(Part, frozen=True, kw_only=True):
    to: AnyStrategy
    read: Literal["data", "envelope", "raw"] = "data"


class EmitTarget(Part, frozen=True, kw_only=True):
    event: EventDefinition
