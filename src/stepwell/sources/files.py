"""Files of rows: CSV with a header line, and JSON Lines. A file is read anew when it has changed."""

import asyncio
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from stepwell.sources.filters import fits
from stepwell.sources.port import SourceError, Wanted

MAX_BYTES: Final = 256 * 1024 * 1024


class FileReader:
    """`Reader` of one file."""

    def __init__(self, path: str, format: Literal["csv", "jsonl"]) -> None:
        self._path = Path(path)
        self._format = format
        self._read_at: tuple[int, int] = (0, 0)
        self._rows: list[Mapping[str, Any]] = []

    async def first(self, wanted: Wanted) -> Mapping[str, Any] | None:
        rows = await asyncio.to_thread(self._current)
        if wanted.choose is None:
            return next((row for row in rows if fits(row, wanted.find)), None)
        fitting = [row for row in rows if fits(row, wanted.find)] if wanted.find else rows
        return fitting[wanted.choose(len(fitting))] if fitting else None

    async def aclose(self) -> None:
        self._rows = []

    def _current(self) -> list[Mapping[str, Any]]:
        try:
            stat = self._path.stat()
            if stat.st_size > MAX_BYTES:
                raise SourceError(f"{self._path} has more than {MAX_BYTES} bytes")
            if (stat.st_mtime_ns, stat.st_size) != self._read_at:
                self._rows = self._csv() if self._format == "csv" else self._lines()
                self._read_at = stat.st_mtime_ns, stat.st_size
        except OSError as fault:
            raise SourceError(f"{self._path} cannot be read: {fault.strerror}") from None
        except UnicodeDecodeError:
            raise SourceError(f"{self._path} is not UTF-8 text") from None
        return self._rows

    def _csv(self) -> list[Mapping[str, Any]]:
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            try:
                return list(csv.DictReader(file, strict=True))
            except csv.Error as fault:
                raise SourceError(f"{self._path} is no CSV: {fault}") from None

    def _lines(self) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                rows.append(msgspec.json.decode(line, type=dict[str, Any]))
            except (msgspec.DecodeError, msgspec.ValidationError):
                raise SourceError(f"{self._path}, line {number}: expected a JSON object") from None
        return rows
