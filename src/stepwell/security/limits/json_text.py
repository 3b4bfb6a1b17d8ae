"""JSON that means to confuse: nested deeper than anything needs, or with a name twice.

Two readers of `{"a": 1, "a": 2}` may see different values (RFC 8259 §4), and one of them may be the one that decides.
Text that is no JSON at all passes: the door says so in its own words, with the place.
"""

import json
import re
from typing import Any, Final

from stepwell.security.refusals import AccessError, Reason

MAX_DEPTH: Final = 64

# Possessive, and the closing quote is optional: a text that never closes is one token, not one per quote in it.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)

_STRING: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)"?+([ \t\r\n]*+:)?', re.DOTALL)
"""Every text, and the colon that makes it a name."""


def check_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> None:
    """Raises `AccessError` (`json_too_deep`, `json_duplicate_key`)."""
    if _deeper(data, max_depth):
        raise AccessError(Reason.JSON_TOO_DEEP, f"expected JSON nested at most {max_depth} deep")
    if _names_differ(data):
        return
    try:
        json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return


def _deeper(data: bytes, max_depth: int) -> bool:
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return False  # the usual case, without looking at any token
    depth = 0
    for token in _TOKEN.finditer(data):
        sign = token[0]
        if sign in b"[{":
            depth += 1
            if depth > max_depth:
                return True
        elif sign in b"]}":
            depth -= 1
    return False


def _names_differ(data: bytes) -> bool:
    """Whether no name stands twice in the whole text: the usual case of small bodies, ten times as quick to see."""
    names = [name for name, colon in _STRING.findall(data) if colon]
    return len(set(names)) == len(names) and not any(b"\\" in name for name in names)


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise AccessError(Reason.JSON_DUPLICATE_KEY, f"the name {name[:64]!r} stands twice in one JSON object")
        seen.add(name)
