"""Functions on text. All of them take the execution first; only `random_text` uses it."""

import string
from decimal import Decimal
from typing import Any, Final

import msgspec

from stepwell.programs.pipeline import numbers
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError

MAX_TEXT: Final = 1_000_000
"""Characters of a result."""
ALPHABET: Final = string.ascii_letters + string.digits
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def text(_execution: Execution, value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else _ENCODER.encode(value).decode()


def shown(value: Any) -> str:
    """A value as a message shows it: JSON, cut short."""
    written = _ENCODER.encode(value).decode()
    return written if len(written) <= 60 else f"{written[:57]}..."


def concat(execution: Execution, *values: Any) -> str:
    return _limited("".join(text(execution, value) for value in values))


def upper(_execution: Execution, value: str) -> str:
    return value.upper()


def lower(_execution: Execution, value: str) -> str:
    return value.lower()


def trim(_execution: Execution, value: str) -> str:
    return value.strip()


def replace(_execution: Execution, value: str, old: str, new: str) -> str:
    if old and value.count(old) * len(new) + len(value) > MAX_TEXT:
        raise RuleError(f"Expected a text of at most {MAX_TEXT} characters")
    return value.replace(old, new) if old else value


def substring(_execution: Execution, value: str, begin: int, end: int | None = None) -> str:
    """From `begin` (counted from 0) up to but without `end`."""
    return value[max(begin, 0) : None if end is None else max(end, 0)]


def pad_start(execution: Execution, value: Any, width: int, filler: str) -> str:
    if len(filler) != 1:
        raise RuleError(f"padStart fills with one character (got {filler[:20]!r})")
    if width > MAX_TEXT:
        raise RuleError(f"Expected a text of at most {MAX_TEXT} characters")
    return text(execution, value).rjust(width, filler)


def split(_execution: Execution, value: str, separator: str) -> list[str]:
    if not separator:
        raise RuleError("split separator must not be empty")
    return value.split(separator)


def to_number(_execution: Execution, value: str) -> numbers.Number:
    """A text of digits as an integer, one with a point as an exact decimal."""
    shape = value.strip()
    digits = shape.removeprefix("-")
    whole, point, places = digits.partition(".")
    if len(shape) <= 1000 and whole.isdecimal() and whole.isascii():
        if not point:
            return int(shape)
        if places.isdecimal() and places.isascii():
            return Decimal(shape)
    raise RuleError(f"Expected the text of a number (got {value[:40]!r})")


def random_text(execution: Execution, length: int, alphabet: str = ALPHABET) -> str:
    """So many characters of the alphabet, letters and digits without one."""
    if not 0 <= length <= 10_000:
        raise RuleError(f"randomText length must be 0 to 10000 (got {length})")
    if not alphabet:
        raise RuleError("randomText alphabet must not be empty")
    count = len(alphabet)
    return "".join(alphabet[execution.chance.below(count)] for _ in range(length))


def _limited(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise RuleError(f"Expected a text of at most {MAX_TEXT} characters")
    return value
