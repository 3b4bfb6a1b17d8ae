"""`{{ path }}` in the values of plans: plain lookups, no code.

A text that is one lookup as a whole keeps the JSON type of what it finds; in a longer text it becomes text. Paths are
names and list positions: `steps.fetch.output.rows[0].name`, `input["a name"]`. What is looked up in null is null, as
in jq: a step that was skipped has that output. A backslash before `{{` keeps it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from stepwell.programs.flow.check import describe, hint
from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.nodes.failures import failure

MAX_FILLED: Final = 16 * 1024 * 1024
"""Characters and items that the lookups of one value may bring in. A short text can name a large value thousands of
times: the run fails before the server runs out of memory.
"""
_MARK: Final = re.compile(r"\\\{\{|\{\{(.*?)\}\}|\{\{", re.DOTALL)
_SEGMENT: Final = re.compile(r"""\.?([A-Za-z_$][\w$-]*|\d+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\['([^'\\]*)'\]""")

Segment = str | int
Path = tuple[Segment, ...]


class MalformedPathError(Exception):
    """What stands between the braces is no path; `at` is the pointer of the text, where that is known."""

    at = ""


class Lookup(msgspec.Struct, frozen=True):
    """One `{{ path }}`; `at` is the pointer of the value that it stands in."""

    text: str
    path: Path
    at: str


def parse_path(text: str) -> Path:
    """Raises `MalformedPathError`."""
    path: list[Segment] = []
    place, inside = 0, text.strip()
    while place < len(inside):
        found = _SEGMENT.match(inside, place)
        if found is None or (found[0][0] in ".[") != (place > 0):
            raise MalformedPathError(f"expected a path like steps.fetch.output, found {describe(inside)}")
        path.append(_segment(found))
        place = found.end()
    if not path:
        raise MalformedPathError("expected a path between the braces, found nothing")
    return tuple(path)


def _segment(found: re.Match[str]) -> Segment:
    name, position, quoted, single = found.groups()
    if position is not None:
        return int(position)
    if quoted is not None:
        return str(json.loads(quoted))
    return single if single is not None else str(name)


def lookups(value: Any, at: str) -> Iterator[Lookup]:
    """Every `{{ path }}` in a value. Raises `MalformedPathError`."""
    for text, place in texts(value, at):
        try:
            yield from _lookups_in(text, place)
        except MalformedPathError as error:
            error.at = place
            raise


def _lookups_in(text: str, at: str) -> Iterator[Lookup]:
    for found in _MARK.finditer(text):
        if found[1] is not None:
            yield Lookup(found[1].strip(), parse_path(found[1]), at)
        elif found[0] == "{{":
            raise MalformedPathError("expected '}}' behind '{{', found none (write '\\{{' for the braces)")


def texts(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """Every text in a value, with its pointer; names of properties are no texts."""
    match value:
        case str():
            yield value, at
        case dict():
            for name, item in value.items():
                yield from texts(item, f"{at}/{escape(str(name))}")
        case list() | tuple():
            for position, item in enumerate(value):
                yield from texts(item, f"{at}/{position}")


def fill(value: Any, names: Mapping[str, Any], at: str) -> Any:
    """The value with everything looked up. Raises `ProgramError` that names the place of what leads nowhere, or of
    where it becomes too large.
    """
    return _Filling(names).fill(value, at)


class _Filling:
    """One value being filled in; `left` is how much may still be looked up."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._left = MAX_FILLED

    def fill(self, value: Any, at: str) -> Any:
        match value:
            case str():
                return self._text(value, at) if "{{" in value else value
            case dict():
                return {name: self.fill(item, f"{at}/{escape(str(name))}") for name, item in value.items()}
            case list() | tuple():
                return [self.fill(item, f"{at}/{position}") for position, item in enumerate(value)]
        return value

    def _text(self, text: str, at: str) -> Any:
        whole = _MARK.fullmatch(text.strip())
        if whole is not None and whole[1] is not None and "}}" not in whole[1]:
            return self._found(whole[1], at)

        def inserted(found: re.Match[str]) -> str:
            return "{{" if found[1] is None else as_text(self._found(found[1], at))

        return _MARK.sub(inserted, text)

    def _found(self, path: str, at: str) -> Any:
        found = look_up(parse_path(path), self._names, at)
        self._left = _less(self._left, found)
        if self._left < 0:
            text = f"{{{{ {path.strip()} }}}}: expected at most {MAX_FILLED} characters in all, found more"
            raise failure("expression", text, at, status=400)
        return found


def _less(left: int, value: Any) -> int:
    """What is left when a value was brought in; below 0 as soon as it is too much."""
    match value:
        case str():
            return left - len(value)
        case Mapping():
            for name, item in value.items():
                left = _less(left - len(str(name)), item)
                if left < 0:
                    break
        case list():
            for item in value:
                left = _less(left, item)
                if left < 0:
                    break
    return left - 1


def look_up(path: Path, names: Mapping[str, Any], at: str) -> Any:
    """What a path leads to. Raises `ProgramError`."""
    value: Any = names
    for depth, segment in enumerate(path):
        found = _step_into(value, segment)
        if found is msgspec.UNSET:
            raise failure("expression", f"{{{{ {written(path)} }}}}: {_nowhere(path, depth, value)}", at, status=400)
        value = found
    return value


def _step_into(value: Any, segment: Segment) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return value.get(str(segment), msgspec.UNSET)
    if isinstance(value, list) and str(segment).isdigit() and int(segment) < len(value):
        return value[int(segment)]
    return msgspec.UNSET


def _nowhere(path: Path, depth: int, value: Any) -> str:
    place = written(path[:depth])
    where = f" in {place}" if place else ""
    if isinstance(value, Mapping):
        known = [str(name) for name in value]
        found = "only " + ", ".join(known[:8]) + (", ..." if len(known) > 8 else "") if known else "an empty object"
        return f"expected {str(path[depth])!r}{where}, found {found}{hint(str(path[depth]), known)}"
    if isinstance(value, list):
        return f"expected item {path[depth]}{where}, found {len(value)} items"
    return f"expected an object or a list at {place}, found {describe(value)}"


def written(path: Path) -> str:
    """A path as an author writes it."""
    words = "".join(
        f"[{part}]"
        if isinstance(part, int)
        else (f".{part}" if re.fullmatch(r"[\w$-]+", part) else f"[{json.dumps(part, ensure_ascii=False)}]")
        for part in path
    )
    return words.removeprefix(".")


def as_text(value: Any) -> str:
    """A value inside a longer text: texts as they are, nothing for null, JSON for the rest."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
