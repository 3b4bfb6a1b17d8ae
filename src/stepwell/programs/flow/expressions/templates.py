"""Structures with `${ ... }` strings in them, walked once: the constant parts stay as they are.

Interpolation is of whole strings only, as the standard has it: `"a ${ .b }"` is plain text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stepwell.programs.flow.expressions.expression import Expression, constant, names_of, structure

_STRICT = re.compile(r"\s*\$\{(.+)\}\s*", re.DOTALL)

Compile = Callable[[str, str], Expression]
"""From the text between the braces and its JSON pointer to an expression."""


def expression_text(text: str) -> str | None:
    """What stands inside `${ }` when that is the whole text; else None.

    Text that opens an expression and has no brace to close it is returned whole, to be refused as an expression.
    """
    found = _STRICT.fullmatch(text)
    if found:
        return found.group(1).strip()
    begun = text.strip()
    return begun if never_ends(begun) else None


def never_ends(text: str) -> bool:
    """Whether it opens an expression and has no brace that could close it."""
    return text.startswith("${") and "}" not in text


def build(value: Any, at: str, compile_text: Compile) -> Expression:
    """One expression for a whole structure; `at` is its pointer."""
    match value:
        case str() if (inside := expression_text(value)) is not None:
            return compile_text(inside, at)
        case dict():
            parts = [(key, build(item, f"{at}/{escape(key)}", compile_text)) for key, item in value.items()]
            return constant(value) if all(part.constant for _, part in parts) else _object(parts)
        case list():
            items = [build(item, f"{at}/{position}", compile_text) for position, item in enumerate(value)]
            return constant(value) if all(item.constant for item in items) else _array(items)
    return constant(value)


def escape(name: str) -> str:
    """A property name as one segment of a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")


def unescape(segment: str) -> str:
    """The name that one segment of a JSON pointer stands for."""
    return segment.replace("~1", "/").replace("~0", "~")


def together(parts: Mapping[str, Expression]) -> Expression:
    """Several expressions as one that gives an object of their values."""
    return _object(list(parts.items()))


def in_order(parts: Sequence[Expression]) -> Expression:
    """Several expressions as one that gives a list of their values."""
    return _array(list(parts))


def _object(parts: list[tuple[str, Expression]]) -> Expression:
    keys, inner = tuple(key for key, _ in parts), tuple(part for _, part in parts)
    if any(part.remote for part in inner):
        return structure(inner, lambda values: dict(zip(keys, values, strict=True)))
    runs = [(key, part.run) for key, part in parts]
    return Expression(
        text="",
        names=names_of(inner),
        parts=inner,
        run=lambda value, variables: {key: run(value, variables) for key, run in runs},
    )


def _array(items: list[Expression]) -> Expression:
    if any(item.remote for item in items):
        return structure(items, list)
    runs = [item.run for item in items]
    return Expression(
        text="",
        names=names_of(items),
        parts=tuple(items),
        run=lambda value, variables: [run(value, variables) for run in runs],
    )
