"""The grammar of function text: calls, their arguments, and what an argument can be.

    call = name "(" [arg {"," arg}] ")"
    arg  = call | 'text' | "text" | true | false | integer | decimal | path | any other text

Names are case-insensitive, blanks around calls and arguments do not count, and there are no escapes inside quotes.
"""

import re
from typing import Final

import msgspec

from stepwell.programs.pipeline.faults import RuleError

_CALL: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\((.*)\)", re.DOTALL)
MAX_DEPTH: Final = 32


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call as written: `name` in lower case, `inner` what stands between the parentheses."""

    name: str
    inner: str
    text: str

    def arguments(self, step: str) -> list[str]:
        """The arguments, blanks around them cut. Raises `RuleError`."""
        return split(self.inner, self.text, step) if self.inner.strip() else []


def read_call(text: str, step: str) -> Call | None:
    """The call that a text is; None when it is something else. Raises `RuleError` for one that is broken."""
    trimmed = text.strip()
    matched = _CALL.fullmatch(trimmed)
    if matched is None:
        if re.match(r"[A-Za-z][A-Za-z0-9_]*\(", trimmed):
            split(trimmed, trimmed, step)
        return None
    split(matched[2], trimmed, step)
    return Call(name=matched[1].lower(), inner=matched[2], text=trimmed)


def split(inner: str, text: str, step: str) -> list[str]:
    """Cut at the commas that are in no quotes and in no parentheses. Raises `RuleError`."""
    parts: list[str] = []
    begin, depth, quote = 0, 0, ""
    for position, character in enumerate(inner):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                raise RuleError(f"Unbalanced parentheses in {text} for step: {step}")
        elif character == "," and not depth:
            parts.append(inner[begin:position].strip())
            begin = position + 1
        if depth > MAX_DEPTH:
            raise RuleError(f"Expected at most {MAX_DEPTH} calls inside each other in {text[:60]} for step: {step}")
    if quote:
        raise RuleError(f"Unclosed quoted argument in {text} for step: {step}")
    if depth:
        raise RuleError(f"Unbalanced parentheses in {text} for step: {step}")
    parts.append(inner[begin:].strip())
    return parts


def quoted(text: str) -> str | None:
    """What stands in quotes; None when there are none around the whole text."""
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0] and text[0] not in text[1:-1]:
        return text[1:-1]
    return None
