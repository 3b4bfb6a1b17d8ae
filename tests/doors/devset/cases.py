"""The shared cases of the devset API: how they are read, and how an answer is compared with what is expected."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[4] / "shared" / "cases" / "devset.json"

UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


def cases() -> list[dict[str, Any]]:
    """All cases; none where the file is not beside this repository."""
    return list(json.loads(PATH.read_text())) if PATH.exists() else []


class Comparison:
    """Compares values with matchers; `$same` binds within one comparison."""

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}

    def check(self, found: Any, wanted: Any, at: str = "") -> None:
        """Raises `AssertionError` that says where."""
        if isinstance(wanted, dict) and wanted and all(name.startswith("$") for name in wanted):
            for name, argument in wanted.items():
                assert self._matches(name, argument, found), f"{at}: {found!r} is not {wanted}"
        elif isinstance(wanted, dict):
            assert isinstance(found, dict), f"{at}: {found!r} is no object"
            assert set(found) == set(wanted), f"{at}: has {sorted(found)}, not {sorted(wanted)}"
            for name, value in wanted.items():
                self.check(found[name], value, f"{at}/{name}")
        elif isinstance(wanted, list):
            assert isinstance(found, list), f"{at}: {found!r} is no array"
            assert len(found) == len(wanted), f"{at}: {found!r} is not of length {len(wanted)}"
            for index, value in enumerate(wanted):
                self.check(found[index], value, f"{at}/{index}")
        else:
            assert isinstance(found, bool) == isinstance(wanted, bool), f"{at}: {found!r} is not {wanted!r}"
            assert found == wanted, f"{at}: {found!r} is not {wanted!r}"

    def _matches(self, name: str, argument: Any, found: Any) -> bool:
        match name:
            case "$match":
                return _is(argument, found)
            case "$range":
                return bool(argument[0] <= found <= argument[1])
            case "$oneOf":
                return found in argument
            case "$contains":
                return argument in found
            case "$same":
                return bool(self.bound.setdefault(argument, found) == found)
        raise AssertionError(f"there is no matcher {name}")


def _is(kind: str, found: Any) -> bool:
    match kind:
        case "uuid":
            return isinstance(found, str) and UUID.fullmatch(found) is not None
        case "iso8601":
            return isinstance(found, str) and bool(datetime.fromisoformat(found))
        case "bool":
            return isinstance(found, bool)
        case "array":
            return isinstance(found, list)
        case "any":
            return True
    raise AssertionError(f"there is no kind {kind}")
