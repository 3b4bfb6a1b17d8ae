"""Which regular expressions of JSON Schemas may run in this process.

Python's `re` can neither be interrupted nor bounded, and a pattern that can match one text in several ways may take
for ever. So only patterns that cannot run here; all others are tried by jq, in a worker that is stopped in time.
"""

import re
from collections.abc import Iterator
from typing import Any

_ESCAPED_OR_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_VARIABLE = re.compile(r"[*+?]|\{\d*,\d*\}")
_LONG = re.compile(r"\{\d{4,}")


def is_plain(pattern: str) -> bool:
    """Whether a pattern has one way at most to match a text from a place: one repetition, and no choice beside it."""
    bare = _ESCAPED_OR_CLASS.sub("x", pattern)
    if _LONG.search(bare) or re.search(r"\\[1-9]", pattern):
        return False
    bare = bare.replace("(?:", "(")
    repetitions = len(_VARIABLE.findall(bare))
    return "(?" not in bare and (repetitions == 0 or (repetitions == 1 and "|" not in bare))


def patterns_in(schema: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """The patterns of a schema with their pointers. What only looks like one (in an `enum`) is harmless."""
    if isinstance(schema, list):
        for position, item in enumerate(schema):
            yield from patterns_in(item, f"{at}/{position}")
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("pattern"), str):
        yield f"{at}/pattern", schema["pattern"]
    if isinstance(by_pattern := schema.get("patternProperties"), dict):
        yield from ((f"{at}/patternProperties", pattern) for pattern in by_pattern)
    for name, item in schema.items():
        yield from patterns_in(item, f"{at}/{name}")
