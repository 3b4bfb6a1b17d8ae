"""SQLite files, opened to be read only. A filter is fields to values, which become parameters, never SQL."""

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from stepwell.sources.port import SourceError, Wanted

_OPERATORS: Final = {"$eq": "=", "$ne": "<>", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
PREFIX: Final = "sqlite:///"
_PLAIN: Final = (str, int, float, bytes, type(None))


class SqlReader:
    """`Reader` of one database file; the table is the `collection`."""

    def __init__(self, connection_string: str) -> None:
        if not connection_string.startswith(PREFIX):
            raise SourceError(f"connectionString must begin with {PREFIX}")
        self._path = Path(connection_string.removeprefix(PREFIX))

    async def first(self, wanted: Wanted) -> Mapping[str, Any] | None:
        return await asyncio.to_thread(self._first, wanted)

    async def aclose(self) -> None: ...

    def _first(self, wanted: Wanted) -> Mapping[str, Any] | None:
        statement, parameters = _select(wanted)
        try:
            uri = f"file:{quote(str(self._path))}?mode=ro"
            connection = sqlite3.connect(uri, uri=True)
            try:
                connection.row_factory = sqlite3.Row
                row = connection.execute(statement, parameters).fetchone()
            finally:
                connection.close()
        except sqlite3.Error as fault:
            raise SourceError(f"{self._path}: {fault}") from None
        return None if row is None else {name: row[name] for name in row.keys()}  # noqa: SIM118  a Row is no mapping


def _select(wanted: Wanted) -> tuple[str, list[Any]]:
    if not wanted.collection:
        raise SourceError("a query of SQL needs a table (collection)")
    conditions: list[str] = []
    parameters: list[Any] = []
    for name, value in wanted.find.items():
        if name.startswith("$"):
            raise SourceError(f"find has no operator {name} in SQL")
        tests = value if isinstance(value, Mapping) else {"$eq": value}
        for operator, argument in tests.items():
            if operator not in _OPERATORS or not isinstance(argument, _PLAIN):
                raise SourceError(f"find has no operator {operator} with such a value in SQL")
            if argument is None:
                conditions.append(f"{_name(name)} IS {'NOT ' if operator == '$ne' else ''}NULL")
            else:
                conditions.append(f"{_name(name)} {_OPERATORS[operator]} ?")
                parameters.append(argument)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    columns = ", ".join(map(_name, dict.fromkeys(wanted.fields))) or "*"
    return f"SELECT {columns} FROM {_name(wanted.collection)}{where} LIMIT 1", parameters


def _name(text: str) -> str:
    """A name of SQL in quotes: not the double ones, in which SQLite takes a name that is not there for a text."""
    return "`" + text.replace("`", "``") + "`"
