"""Options that commands share, and values that are given as text."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from stepwell.core.errors import InvalidInputError
from stepwell.settings import LoadedSettings, load_settings

URL_VARIABLE: Final = "STEPWELL_URL"
KEY_VARIABLE: Final = "STEPWELL_KEY"


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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Target(Where):
    """A database, or the server that has one: `--db` on the command line wins over a server in the environment."""

    url: Annotated[
        str | None, Parameter(help="A server, in place of a database: https://host (or STEPWELL_URL).")
    ] = None
    key: Annotated[
        str | None, Parameter(help="API key or token for --url; better in STEPWELL_KEY, since others see options.")
    ] = None

    @property
    def server(self) -> str | None:
        """The server to speak to; None for a database. Raises `InvalidInputError`."""
        if self.url is not None and self.db is not None:
            raise InvalidInputError("expected --url or --db, found both")
        if self.url is None and self.db is not None:
            return None
        return self.url or os.environ.get(URL_VARIABLE) or None

    @property
    def credential(self) -> str:
        """What is shown to the server; "" for nothing."""
        return self.key or os.environ.get(KEY_VARIABLE, "")

    def repeated(self) -> str:
        """The options that another command for the same place needs, with a space before them."""
        name, value = ("--url", self.url) if self.url else ("--db", self.db)
        return f" {name} {shlex.quote(value)}" if value else ""


THERE = Target()

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
