"""Deletes the files of runs that are no more: those whose run was pruned while nobody looked, or never came to be."""

import uuid
from collections.abc import Sequence
from typing import Final, Protocol

from stepwell.store.port import RunStore

PAGE: Final = 200
PAUSE_S: Final = 0.1
EVERY_S: Final = 24 * 3600.0
YOUNG_S: Final = 3600.0
"""A folder may be there before its run is: so long nobody takes to send the files."""


class RunFiles(Protocol):
    """Files that belong to runs."""

    async def run_ids(self) -> list[str]:
        """The runs that have files."""

    async def drop(self, run_ids: Sequence[str]) -> None:
        """Delete the files of runs, should they have any."""


class SweepFiles:
    """A crash between two steps may leave files behind: looked for after the start, then once a day."""

    name = "files"

    def __init__(self, store: RunStore, files: RunFiles) -> None:
        self._store = store
        self._files = files
        self._left: list[str] = []

    async def run_once(self, now: float) -> float:
        if not self._left:
            self._left = [run_id for run_id in await self._files.run_ids() if born_at(run_id) < now - YOUNG_S]
        page, self._left = self._left[:PAGE], self._left[PAGE:]
        await self._files.drop([run_id for run_id in page if not await self._store.events(run_id, 0, 1)])
        return PAUSE_S if self._left else EVERY_S


def born_at(run_id: str) -> float:
    """The instant in a UUIDv7; of another id the beginning of time."""
    found = uuid.UUID(run_id)
    return (found.int >> 80) / 1000 if found.version == 7 else 0.0
