"""The files port: where the files that runs were given are kept, and how they are named.

What its sender called a file is for display only; its object id is ours, and begins with the id of its run. A file is
on disk before the run that names it exists; those whose run never came to be are swept.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from stepwell.core.errors import StepwellError

_OBJECT: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.([0-9a-f]{32})")
_SEPARATORS: Final = re.compile(r"[/\\]")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
BUFFERED: Final = 256 * 1024
"""Bytes gathered before they are written: doing so for every piece of the network would cost more than the write."""
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


Named = FileReference | dict[str, Any] | str
"""A file's reference (also as a run's input has it), or its object id."""


class Files(Protocol):
    """The files of all runs. All methods raise `StorageError` when they cannot be kept, or read, now."""

    async def open(self) -> None:
        """Get ready, inside the loop in which the other methods are used."""

    async def close(self) -> None:
        """Let go of what is held."""

    def begin(self, run_id: str, *, filename: str, content_type: str) -> "Incoming":
        """A new file of a run, which need not exist yet."""

    async def fetch(self, file: Named) -> Path:
        """Where a file lies on this machine, brought there first if need be. Raises `FileMissingError`."""

    def path(self, file: Named) -> Path:
        """As `fetch`, for a function that is not `async`."""

    async def run_ids(self) -> list[str]:
        """The runs that have files; those that exist may be left out."""

    async def drop(self, run_ids: Sequence[str]) -> None:
        """Delete the files of runs, should they have any."""


class Incoming(ABC):
    """A file on its way in. `size` is how much of it has come."""

    def __init__(self, object_id: str, filename: str, content_type: str) -> None:
        self.size = 0
        self._object_id = object_id
        self._filename = base_name(filename)
        self._content_type = content_type
        self._pieces: list[bytes] = []
        self._gathered = 0

    async def write(self, data: bytes) -> None:
        """Take in the next piece. Raises `StorageUnavailableError`."""
        self.size += len(data)
        self._gathered += len(data)
        self._pieces.append(data)
        if self._gathered >= BUFFERED:
            await self._keep(self._gathered_data())

    async def finish(self) -> FileReference:
        """The file is complete: on disk on return, also after a loss of power. Raises `StorageUnavailableError`."""
        await self._keep(self._gathered_data(), last=True)
        return FileReference(
            object_id=self._object_id, filename=self._filename, content_type=self._content_type, size=self.size
        )

    def close(self) -> None:  # noqa: B027  # only a file on disk has anything to let go of
        """Let go of a file that will not be finished."""

    def _gathered_data(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._gathered = 0
        return data

    @abstractmethod
    async def _keep(self, data: bytes, *, last: bool = False) -> None:
        """Append to what is kept; with the last of it the file is complete."""


def object_id_of(file: Named) -> str:
    """The object id of a file."""
    match file:
        case FileReference():
            return file.object_id
        case dict():
            return str(file.get("objectId", ""))
        case _:
            return file


def parts_of(object_id: str) -> tuple[str, str]:
    """The run's id and the file's own in an object id. Raises `FileMissingError`."""
    found = _OBJECT.fullmatch(object_id)
    if found is None:
        raise FileMissingError(object_id)
    return found[1], found[2]


def base_name(filename: str) -> str:
    """The last part of a name, as any system writes paths, without control characters; "file" if that is nothing."""
    last = _SEPARATORS.split(_CONTROLS.sub("", filename).strip().rstrip("/\\"))[-1].strip()
    return last[:MAX_NAME] if last.strip(". ") else "file"
