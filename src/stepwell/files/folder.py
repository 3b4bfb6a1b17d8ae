"""`FolderFiles`: the files of runs on a disk, one folder per run. Several nodes may share it over a network."""

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from io import BufferedWriter
from pathlib import Path
from typing import Final

from stepwell.core.errors import StorageUnavailableError
from stepwell.files.port import FileMissingError, Incoming, Named, object_id_of, parts_of

_RUN: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class FolderFiles:
    """The files of all runs, under one folder, which is made with the first of them (`files.port.Files`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing is held."""

    def begin(self, run_id: str, *, filename: str, content_type: str) -> Incoming:
        object_id = f"{run_id}.{secrets.token_hex(16)}"
        return _IncomingFile(self._place(object_id), object_id, filename, content_type)

    async def fetch(self, file: Named) -> Path:
        return self.path(file)

    def path(self, file: Named) -> Path:
        object_id = object_id_of(file)
        path = self._place(object_id)
        if not path.is_file():
            raise FileMissingError(object_id)
        return path

    def _place(self, object_id: str) -> Path:
        run_id, name = parts_of(object_id)
        return self._folder / run_id / name

    async def run_ids(self) -> list[str]:
        def listed() -> list[str]:
            try:
                return sorted(entry.name for entry in os.scandir(self._folder) if _RUN.fullmatch(entry.name))
            except FileNotFoundError:
                return []

        return await asyncio.to_thread(listed)

    async def drop(self, run_ids: Sequence[str]) -> None:
        def remove() -> None:
            for run_id in run_ids:
                if _RUN.fullmatch(run_id):
                    shutil.rmtree(self._folder / run_id, ignore_errors=True)

        if run_ids and self._folder.is_dir():
            await asyncio.to_thread(remove)


class _IncomingFile(Incoming):
    def __init__(self, path: Path, object_id: str, filename: str, content_type: str) -> None:
        super().__init__(object_id, filename, content_type)
        self._path = path
        self._file: BufferedWriter | None = None

    async def _keep(self, data: bytes, *, last: bool = False) -> None:
        def write() -> None:
            file = self._opened()
            file.write(data)
            if last:
                self._sync(file)

        await self._on_thread(write)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    async def _on_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except OSError as fault:
            raise StorageUnavailableError(
                f"a file cannot be kept in {self._path.parent.parent} ({fault.strerror}): check the disk",
                told="a file cannot be kept on the server's disk now",
            ) from fault

    def _opened(self) -> BufferedWriter:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb")
        return self._file

    def _sync(self, opened: BufferedWriter) -> None:
        with opened as file:
            file.flush()
            os.fsync(file.fileno())
        for folder in (self._path.parent, self._path.parent.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
