"""Extensions as plain functions: evaluated arguments in, a JSON value out."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from stepwell.programs.pipeline import dates, lists, numbers, strings
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """`call(execution, *arguments)`; `kinds` says what each argument must be, the last kind repeats up to `most`."""

    name: str
    call: Any
    kinds: tuple[str, ...]
    least: int
    most: int

    def check_count(self, count: int, step: str) -> None:
        """Raises `RuleError`."""
        if not self.least <= count <= self.most:
            wanted = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
            raise RuleError(f"{self.name} requires {wanted} arguments (got {count}) for step: {step}")

    def compute(self, execution: Execution, step: str, arguments: Sequence[Any]) -> Any:
        """Raises `RuleError`."""
        for position, argument in enumerate(arguments):
            kind = self.kinds[min(position, len(self.kinds) - 1)]
            if not _KINDS[kind](argument):
                place = f"argument {position + 1} (got {_shown(argument)})"
                raise RuleError(f"{self.name} requires {kind} as {place} for step: {step}")
        try:
            return execution.count(self.call(execution, *arguments))
        except RuleError as broken:
            raise RuleError(f"{broken} for step: {step}") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


_KINDS: Final[dict[str, Callable[[Any], bool]]] = {
    "a text": lambda value: isinstance(value, str),
    "a number": _is_number,
    "an integer": lambda value: type(value) is int,
    "a list": lambda value: isinstance(value, list),
    "a value": lambda _value: True,
    "a text or a list": lambda value: isinstance(value, str | list),
}

MANY: Final = 64
TEXT: Final = ("a text",)


def _shown(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _table(*functions: Plain) -> dict[str, Plain]:
    return {function.name.lower(): function for function in functions}


def _plain(name: str, call: Callable[..., Any], kinds: tuple[str, ...], least: int = -1, most: int = -1) -> Plain:
    count = len(kinds)
    return Plain(
        name=name, call=call, kinds=kinds, least=count if least < 0 else least, most=count if most < 0 else most
    )


PLAIN: Final = _table(
    _plain("concat", strings.concat, ("a value",), 1, MANY),
    _plain("upper", strings.upper, TEXT),
    _plain("lower", strings.lower, TEXT),
    _plain("trim", strings.trim, TEXT),
    _plain("replace", strings.replace, ("a text", "a text", "a text")),
    _plain("substring", strings.substring, ("a text", "an integer", "an integer"), 2, 3),
    _plain("padStart", strings.pad_start, ("a value", "an integer", "a text")),
    _plain("split", strings.split, ("a text", "a text")),
    _plain("text", strings.text, ("a value",)),
    _plain("number", strings.to_number, TEXT),
    _plain("randomText", strings.random_text, ("an integer", "a text"), 1, 2),
    _plain("length", lists.length, ("a text or a list",)),
    _plain("list", lists.make, ("a value",), 0, MANY),
    _plain("item", lists.item, ("a list", "an integer")),
    _plain("pick", lists.pick, ("a list",)),
    _plain("shuffle", lists.shuffle, ("a list",)),
    _plain("append", lists.append, ("a list", "a value")),
    _plain("join", lists.join, ("a list", "a text")),
    _plain("range", lists.numbers_between, ("an integer", "an integer")),
    _plain("double", lists.between, ("a number", "a number")),
    _plain("min", lists.least, ("a number",), 1, MANY),
    _plain("max", lists.most, ("a number",), 1, MANY),
    _plain("abs", lambda _execution, value: abs(value), ("a number",)),
    _plain(
        "round",
        lambda _execution, value, places=0: numbers.round_to(value, lists.small(places, "places", 0, 12)),
        ("a number", "an integer"),
        1,
        2,
    ),
    _plain("dateAdd", dates.shifted, ("a text", "a text")),
    _plain("dateDiff", dates.seconds_between, ("a text", "a text")),
    _plain("dateFormat", dates.formatted, ("a text", "a text")),
    _plain("date", dates.of_seconds, ("a number",)),
)
