"""SQL statements live in files, one each; this reads a folder of them by name."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def statements(dialect: str) -> Mapping[str, str]:
    """Name to text of every statement of a dialect (`sqlite`, `postgres`)."""
    folder = files("stepwell.store") / dialect / "sql"
    return {path.name.removesuffix(".sql"): path.read_text() for path in folder.iterdir()}


@cache
def migrations(dialect: str) -> list[tuple[int, str]]:
    """Number and text of every migration of a dialect, lowest first."""
    folder = files("stepwell.store") / dialect / "migrations"
    found = ((re.match(r"(\d+)_", path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path.read_text()) for match, path in found if match)
