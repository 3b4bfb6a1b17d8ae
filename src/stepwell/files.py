"""Files that runs were given: streamed to disk, one folder per run, gone with the run.

On disk a file has a random name of ours; what its sender called it is for display only and never part of a path. A
file is on disk, synced, before the run that names it exists; folders whose run never came to be are swept.
"""

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import msgspec

from stepwell.core.errors import StepwellError, StorageUnavailableError

_OBJECT: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.([0-9a-f]{32})")
_RUN: Final = re.compile(_OBJECT.pattern.partition(r"\.")[0].strip("()"))
_SEPARATORS: Final = re.compile(r"[/\\]")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
BUFFERED: Final = 256 * 1024
"""Bytes gathered before a thread writes them: a hop for every piece of the network would cost more than the write."""
MAX_NAME: Final = 255


class FileReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a run's input names a file. `size` in bytes; `content_type` is what the sender said."""

    object_id: str
    filename: str
    content_type: str
    size: int


class FileMissingError(StepwellError):
    """There is no such file, or no longer."""

    def __init__(self, object_id: str) -> None:
        super().__init__(object_id)
        self.object_id = object_id

    def __str__(self) -> str:
        return f"there is no file {self.object_id[:80]}"


class Files:
    """The files of all runs, under one folder, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, run_id: str, *, filename: str, content_type: str) -> "Incoming":
        """A new file of a run, which need not exist yet."""
        object_id = f"{run_id}.{secrets.token_hex(16)}"
        return Incoming(self._place(object_id), object_id, base_name(filename), content_type)

    def path(self, reference: FileReference | dict[str, Any] | str) -> Path:
        """Where a file lies, by its reference (as a run's input has it) or object id. Raises `FileMissingError`."""
        match reference:
            case FileReference():
                object_id = reference.object_id
            case dict():
                object_id = str(reference.get("objectId", ""))
            case _:
                object_id = reference
        path = self._place(object_id)
        if not path.is_file():
            raise FileMissingError(object_id)
        return path

    def _place(self, object_id: str) -> Path:
        found = _OBJECT.fullmatch(object_id)
        if found is None:
            raise FileMissingError(object_id)
        return self._folder / found[1] / found[2]

    async def run_ids(self) -> list[str]:
        """The runs that have a folder, by id."""

        def listed() -> list[str]:
            try:
                return sorted(entry.name for entry in os.scandir(self._folder) if _RUN.fullmatch(entry.name))
            except FileNotFoundError:
                return []

        return await asyncio.to_thread(listed)

    async def drop(self, run_ids: Sequence[str]) -> None:
        """Delete the files of runs, should they have any."""

        def remove() -> None:
            for run_id in run_ids:
                if _RUN.fullmatch(run_id):
                    shutil.rmtree(self._folder / run_id, ignore_errors=True)

        if run_ids and self._folder.is_dir():
            await asyncio.to_thread(remove)


class Incoming:
    """A file on its way in. `size` is how much of it has come."""

    def __init__(self, path: Path, object_id: str, filename: str, content_type: str) -> None:
        self.size = 0
        self._path = path
        self._object_id = object_id
        self._filename = filename
        self._content_type = content_type
        self._file: BufferedWriter | None = None
        self._pieces: list[bytes] = []
        self._gathered = 0

    async def write(self, data: bytes) -> None:
        """Take in the next piece. Raises `StorageUnavailableError`."""
        self.size += len(data)
        self._gathered += len(data)
        self._pieces.append(data)
        if self._gathered >= BUFFERED:
            await self._on_thread(self._flush)

    async def finish(self) -> FileReference:
        """The file is complete: on disk on return, also after a loss of power. Raises `StorageUnavailableError`."""
        await self._on_thread(self._sync)
        return FileReference(
            object_id=self._object_id, filename=self._filename, content_type=self._content_type, size=self.size
        )

    def close(self) -> None:
        """Let go of a file that will not be finished."""
        if self._file is not None:
            self._file.close()

    async def _on_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except OSError as fault:
            raise StorageUnavailableError(
                f"a file cannot be kept in {self._path.parent.parent} ({fault.strerror}): check the disk"
            ) from fault

    def _flush(self) -> None:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb")
        self._file.write(b"".join(self._pieces))
        self._pieces.clear()
        self._gathered = 0

    def _sync(self) -> None:
        self._flush()
        assert self._file is not None
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        for folder in (self._path.parent, self._path.parent.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def base_name(filename: str) -> str:
    """The last part of a name, as any system writes paths, without control characters; "file" if that is nothing."""
    last = _SEPARATORS.split(_CONTROLS.sub("", filename).strip().rstrip("/\\"))[-1].strip()
    return last[:MAX_NAME] if last.strip(". ") else "file"
