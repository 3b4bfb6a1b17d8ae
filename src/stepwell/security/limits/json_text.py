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


def check_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> None:
    """Raises `AccessError` (`json_too_deep`, `json_duplicate_key`)."""
    if _deeper(data, max_depth):
        raise AccessError(Reason.JSON_TOO_DEEP, f"expected JSON nested at most {max_depth} deep")
    if data.count(b":") < 2:
        return  # at most one name: nothing can be there twice
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


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise AccessError(Reason.JSON_DUPLICATE_KEY, f"the name {name[:64]!r} stands twice in one JSON object")
        seen.add(name)
