"""`SpreadFiles`: the files of runs in several databases, each beside its run."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from stepwell.files.port import Files, Incoming, Named, object_id_of, parts_of


class SpreadFiles:
    """Several places of files as one (`files.port.Files`); `place_of` says which one a run's are in."""

    def __init__(self, files: Sequence[Files], place_of: Callable[[str], int]) -> None:
        self._files = files
        self._place_of = place_of

    def _of(self, file: Named) -> Files:
        return self._files[self._place_of(parts_of(object_id_of(file))[0])]

    async def open(self) -> None:
        for files in self._files:
            await files.open()

    async def close(self) -> None:
        await asyncio.gather(*(files.close() for files in self._files))

    def begin(self, run_id: str, *, filename: str, content_type: str) -> Incoming:
        return self._files[self._place_of(run_id)].begin(run_id, filename=filename, content_type=content_type)

    async def fetch(self, file: Named) -> Path:
        return await self._of(file).fetch(file)

    def path(self, file: Named) -> Path:
        return self._of(file).path(file)

    async def run_ids(self) -> list[str]:
        return [run_id for files in self._files for run_id in await files.run_ids()]

    async def drop(self, run_ids: Sequence[str]) -> None:
        for place, files in enumerate(self._files):
            await files.drop([run_id for run_id in run_ids if self._place_of(run_id) == place])
