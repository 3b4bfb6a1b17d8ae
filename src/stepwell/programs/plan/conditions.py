"""jq texts of plans (`when`, `if`): which steps they read. They run on the object `{input, steps, env, run}`, in a
`foreach` with `item` and `index` too; their expressions are those of flows."""

import re
from typing import Final

_STEPS: Final = re.compile(r"""\bsteps\b(?:\s*\.\s*([A-Za-z_]\w*)|\s*\.?\s*\[?\s*"([^"\\]*)"\s*\]?)?""")
_INPUT: Final = re.compile(r"""(?<![\w\])}"])\.\s*(?:input|inputs)\s*\.\s*([A-Za-z_]\w*)""")
_ROOT_STEP: Final = re.compile(
    r"""(?<![\w\])}"])\.\s*steps\s*(?:\.\s*([A-Za-z_]\w*)|\.?\s*\[?\s*"([^"\\]*)"\s*\]?)"""
)


def steps_read(text: str) -> frozenset[str] | None:
    """The steps that a text may read; None when it could be any."""
    found = [first or second for first, second in _STEPS.findall(text)]
    return None if "" in found else frozenset(found)


def steps_named(text: str) -> list[str]:
    """The steps that a text certainly names. Behind a pipe or in a call `.` is something else: nothing is certain."""
    return [] if _is_beyond(text) else [first or second for first, second in _ROOT_STEP.findall(text)]


def inputs_named(text: str) -> list[str]:
    """The inputs that a text certainly names."""
    return [] if _is_beyond(text) else _INPUT.findall(text)


def _is_beyond(text: str) -> bool:
    return "|" in text or re.search(r"\w\s*\(", text) is not None
