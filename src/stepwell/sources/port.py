"""The reader of a data source: one record, by what it must be."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from stepwell.core.errors import StepwellError

SOURCE: Final = "data_source"
"""The kind of record that keeps how a source is reached; its id is `<type>/<name>`."""
Pick = Literal["first", "random", "next"]
Choose = Callable[[int], int]
"""Of so many records that fit, the number (from 0) of the one that is taken."""


class SourceError(StepwellError):
    """A data source that is not there, cannot be read, or cannot answer what it is asked."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked up. `database` and `collection` are empty for sources that have none; `choose` is for files."""

    find: Any
    fields: Sequence[str] = ()
    database: str = ""
    collection: str = ""
    choose: Any = None  # a Choose; None takes the first


class Reader(Protocol):
    """One data source."""

    async def first(self, wanted: Wanted) -> Mapping[str, Any] | None:
        """A record that fits; None when there is none. Raises `SourceError`."""

    async def aclose(self) -> None:
        """Let go of all connections."""


class SourceOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a source is reached: `path` of a file, or a connection string."""

    type: Literal["csv", "jsonl", "sql", "mongodb"]
    path: str = ""
    connection_string: str = ""
    database: str = ""
    username: str | None = None
    password: str | None = None
