"""`DatabaseFiles`: the files of runs in PostgreSQL, in chunks, so that every node has them.

A function wants a file on its disk: it is brought into a folder of this process when it is first asked for, and stays
there until the process ends or there are too many.
"""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from stepwell.core.errors import StepwellError, StorageUnavailableError
from stepwell.files.port import FileMissingError, Incoming, Named, object_id_of, parts_of
from stepwell.store.postgres.connection import Connection, Line, address_of, faults_named

KEPT_BYTES: Final = 1024**3
"""On this machine's disk; what was brought last stays in any case."""
_INSERT: Final = "INSERT INTO file_chunk (run, name, n, data) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_CHUNK: Final = "SELECT data FROM file_chunk WHERE run = $1 AND name = $2 AND n = $3"
_DROP: Final = "DELETE FROM file_chunk WHERE run = ANY ($1::text[])"
_ORPHANS: Final = """
    SELECT DISTINCT run FROM file_chunk WHERE NOT EXISTS (SELECT FROM run WHERE uuid = file_chunk.run) ORDER BY run
"""


class DatabaseFiles:
    """The files of all runs, in the store's database (`files.port.Files`)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = address_of(url)
        self._line = Line(url, {}, set())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._folder: Path | None = None
        self._brought: dict[str, int] = {}
        """Object ids of what is in the folder, what was asked for last at the end, and bytes."""
        self._bringing = asyncio.Lock()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        await self._line.close()
        folder, self._folder = self._folder, None
        self._brought.clear()
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def begin(self, run_id: str, *, filename: str, content_type: str) -> Incoming:
        return self.begin_as(f"{run_id}.{secrets.token_hex(16)}", filename=filename, content_type=content_type)

    def begin_as(self, object_id: str, *, filename: str = "", content_type: str = "") -> Incoming:
        """A file under an object id that it has already."""
        return _IncomingChunks(self, object_id, filename, content_type)

    async def fetch(self, file: Named) -> Path:
        object_id = object_id_of(file)
        run_id, name = parts_of(object_id)
        async with self._bringing:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="stepwell-files-"))
            path = self._folder / object_id
            if object_id in self._brought:
                self._brought[object_id] = self._brought.pop(object_id)
            else:
                self._brought[object_id] = await self._bring(run_id, name, path)
                self._make_room()
        return path

    def path(self, file: Named) -> Path:
        if self._loop is None:
            raise StepwellError("files can be read while the app is open")
        if _running_loop() is self._loop:
            raise StepwellError("in an async function: `await app.files.fetch(reference)` instead of `path`")
        return asyncio.run_coroutine_threadsafe(self.fetch(file), self._loop).result()

    async def _bring(self, run_id: str, name: str, path: Path) -> int:
        """Copy a file to a path; its bytes. Raises `FileMissingError`."""
        size = 0
        try:
            with path.open("wb") as file:
                async for chunk in self.chunks(run_id, name):
                    await asyncio.to_thread(file.write, chunk)
                    size += len(chunk)
        except BaseException as fault:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            if isinstance(fault, OSError):
                raise StorageUnavailableError(
                    f"a file cannot be brought to {path.parent} ({fault.strerror}): check the disk",
                    told="a file cannot be brought to the server's disk now",
                ) from fault
            raise
        return size

    async def chunks(self, run_id: str, name: str) -> AsyncIterator[bytes]:
        """A file, piece by piece. Raises `FileMissingError`."""
        number = 0
        while True:
            async with self.using() as connection:
                chunk = await connection.fetchval(_CHUNK, run_id, name, number)
            if chunk is None:
                break
            yield chunk
            number += 1
        if number == 0:
            raise FileMissingError(f"{run_id}.{name}")

    def _make_room(self) -> None:
        while len(self._brought) > 1 and sum(self._brought.values()) > KEPT_BYTES:
            self._forget(next(iter(self._brought)))

    def _forget(self, object_id: str) -> None:
        del self._brought[object_id]
        if self._folder is not None:
            (self._folder / object_id).unlink(missing_ok=True)

    async def run_ids(self) -> list[str]:
        async with self.using() as connection:
            return [run_id for (run_id,) in await connection.fetch(_ORPHANS)]

    async def drop(self, run_ids: Sequence[str]) -> None:
        if not run_ids:
            return
        async with self.using() as connection:
            await connection.execute(_DROP, list(run_ids))
        gone = set(run_ids)
        for object_id in [id for id in self._brought if id.partition(".")[0] in gone]:
            self._forget(object_id)

    @asynccontextmanager
    async def using(self) -> AsyncIterator[Connection]:
        """The connection. Raises `StorageError`."""
        with faults_named(self._address):
            async with self._line.use() as connection:
                yield connection


class _IncomingChunks(Incoming):
    def __init__(self, files: DatabaseFiles, object_id: str, filename: str, content_type: str) -> None:
        super().__init__(object_id, filename, content_type)
        self._files = files
        self._run_id, self._name = parts_of(object_id)
        self._number = 0

    async def _keep(self, data: bytes, *, last: bool = False) -> None:
        if last and not data and self._number:
            return  # each chunk is on disk already; only an empty file needs one without data
        async with self._files.using() as connection:
            await connection.execute(_INSERT, self._run_id, self._name, self._number, data)
        self._number += 1


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
