"""The data sources that are in use, by name: opened when they are first read."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from stepwell.sources.files import FileReader
from stepwell.sources.port import Reader, SourceError, SourceOptions, Wanted
from stepwell.sources.sql import SqlReader

FindOptions = Callable[[str], Awaitable[SourceOptions | None]]
"""How the source of that name is reached; None when nobody configured it."""


class SourceRegistry:
    """Reads records of sources. What was configured anew is opened anew."""

    def __init__(self, find: FindOptions) -> None:
        self._find = find
        self._open: dict[str, tuple[SourceOptions, Reader]] = {}

    async def first(self, name: str, wanted: Wanted) -> Mapping[str, Any] | None:
        """A record of the source of that name. Raises `SourceError`."""
        options = await self._find(name)
        if options is None:
            raise SourceError(f"MongoDB connection not found: {name}")
        known = self._open.get(name)
        if known is not None and known[0] != options:
            await known[1].aclose()
            known = None
        if known is None:
            known = self._open[name] = options, _made(options)
        record = await known[1].first(wanted)
        # As JSON has it: what JSON has no word for (instants, ids of MongoDB, bytes) is text.
        return None if record is None else msgspec.to_builtins(record, enc_hook=str)

    async def aclose(self) -> None:
        """Let go of all connections."""
        readers, self._open = self._open, {}
        for _, reader in readers.values():
            await reader.aclose()


def _made(options: SourceOptions) -> Reader:
    match options.type:
        case "csv" | "jsonl":
            return FileReader(options.path, options.type)
        case "sql":
            return SqlReader(options.connection_string)
        case "mongodb":
            try:
                from stepwell.sources.mongo import MongoReader
            except ImportError:
                raise SourceError("MongoDB needs the extra `stepwell[mongodb]`") from None
            return MongoReader(options)
