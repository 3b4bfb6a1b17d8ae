"""jq text into tokens. Whatever jq knows and this does not becomes an `other` token, for the parser to refuse."""

import json
import re
from typing import Any, Literal

import msgspec

Kind = Literal["field", "dot", "variable", "literal", "word", "operator", "other", "end"]

MAX_LENGTH = 20_000

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<field>\.[A-Za-z_][A-Za-z0-9_]*)
      | (?P<variable>\$[A-Za-z_][A-Za-z0-9_]*(?!\w|::))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z0-9_]+)*)
      | (?P<other>\.\.|\?//=?|//=|[|+*/%-]=|=(?!=))
      | (?P<operator>==|!=|<=|>=|//|[<>|()\[\]-])
      | (?P<dot>\.)
      | (?P<rest>.)""",
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)(?!\w|::)")
_CONSTANTS = {"true": True, "false": False, "null": None}


class MalformedError(Exception):
    """Text that is no jq at all; says what was expected and what was found."""


class Token(msgspec.Struct, frozen=True):
    """A piece of the text; `value` is what a literal, a field or a variable stands for."""

    kind: Kind
    text: str
    value: Any = None


END = Token("end", "the end")


def tokenize(text: str) -> list[Token]:
    """All tokens and an `end`. Raises `MalformedError` for a string that does not end or is no JSON string."""
    if len(text) > MAX_LENGTH:
        raise MalformedError(f"expected at most {MAX_LENGTH} characters, found {len(text)}")
    found = (_token(str(match.lastgroup), match.group()) for match in _TOKEN.finditer(text))
    return [token for token in found if token is not None] + [END]


def names_in(text: str) -> frozenset[str]:
    """Every `$name` in a text that only a full jq can read: at least the variables that it needs."""
    return frozenset(_NAME.findall(text))


def _token(group: str, text: str) -> Token | None:
    match group:
        case "space":
            return None
        case "string":
            return _string(text)
        case "number":
            return Token("literal", text, _number(text))
        case "field" | "variable":
            return Token("field" if group == "field" else "variable", text, text[1:])
        case "word" if text in _CONSTANTS:
            return Token("literal", text, _CONSTANTS[text])
        case "word" | "operator" | "dot" | "other":
            return Token(group, text)
    if text == '"':
        raise MalformedError("expected a closing quote, found the end")
    return Token("other", text)


def _string(text: str) -> Token:
    if "\\(" in text.replace("\\\\", ""):
        return Token("other", "\\(")  # interpolation: for a full jq
    try:
        return Token("literal", text, json.loads(text, strict=False))
    except ValueError as error:
        raise MalformedError(f"expected a JSON string, found {text[:60]}: {error}") from None


def _number(text: str) -> int | float:
    """Integers keep all their digits; a float too large to hold is what jq makes of it."""
    try:
        number = int(text) if text.isdigit() else float(text)
    except ValueError as error:
        raise MalformedError(f"expected a number, found {text[:60]}: {error}") from None
    return min(number, 1.7976931348623157e308) if isinstance(number, float) else number
