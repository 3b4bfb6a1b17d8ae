"""Options that commands share, and values that are given as text."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from stepwell.core.errors import InvalidInputError
from stepwell.settings import LoadedSettings, load_settings


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """Which database, and which settings file."""

    db: Annotated[str | None, Parameter(help="Database: sqlite:///relative.db or sqlite:////absolute.db.")] = None
    config: Annotated[str | None, Parameter(help="Settings file, in place of stepwell.toml.")] = None

    def settings(self, **flags: Any) -> LoadedSettings:
        """The settings in force with these flags. Raises `SettingsError`."""
        return load_settings(config=self.config, flags={"db": self.db, **flags})


HERE = Where()

Json = Annotated[bool, Parameter(name="--json", help="Print JSON, for programs.")]
AppName = Annotated[
    str | None, Parameter(name="--app", help="The program's stepwell.App as module:attribute, for its functions.")
]
RunId = Annotated[str, Parameter(help="The run's id.")]
JsonText = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


def read_json(text: str | None, *, option: str) -> Any:
    """The value given as JSON, as `@file`, or as `-` for stdin; None when it is not given.

    Raises `InvalidInputError`.
    """
    if text is None:
        return None
    source, data = _read_text(text, option)
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidInputError(
            f"{source} is no JSON ({fault}): write a text with its quotes ('\"text\"'), or name a file as @file.json"
        ) from None


def _read_text(text: str, option: str) -> tuple[str, bytes]:
    """What to call it, and its bytes."""
    if text == "-":
        return f"{option}, read from stdin,", sys.stdin.buffer.read()
    if not text.startswith("@"):
        return option, text.encode(errors="surrogateescape")
    path = Path(text[1:])
    try:
        return f"{option} {path}", path.read_bytes()
    except OSError as fault:
        raise InvalidInputError(f"{option}: {path} cannot be read ({fault.strerror}): name another file") from None
