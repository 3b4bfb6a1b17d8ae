"""Dispatch of runs in several databases: each has a queue of its own, and this node takes its share of all."""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from stepwell.dispatch.port import Dispatch, Drive, NodeInfo


class SpreadDispatch:
    """Several dispatches as one (`dispatch.port.Dispatch`); `place_of` says which one a run belongs to."""

    def __init__(self, dispatches: Sequence[Dispatch], place_of: Callable[[str], int]) -> None:
        self._dispatches = dispatches
        self._place_of = place_of

    def start(self, run_id: str, workflow: str) -> int:
        return self._dispatches[self._place_of(run_id)].start(run_id, workflow)

    def submit(self, run_id: str, delay_s: float = 0.0) -> None:
        self._dispatches[self._place_of(run_id)].submit(run_id, delay_s)

    def interrupt(self, run_id: str) -> None:
        self._dispatches[self._place_of(run_id)].interrupt(run_id)

    async def serve(self, drive: Drive) -> None:
        for dispatch in self._dispatches:
            await dispatch.serve(drive)

    async def stop(self, grace_s: float) -> None:
        await asyncio.gather(*(dispatch.stop(grace_s) for dispatch in self._dispatches))

    async def nodes(self) -> list[NodeInfo]:
        """Each process once, with its runs of all the databases."""
        found: dict[tuple[str, int], NodeInfo] = {}
        for some in await asyncio.gather(*(dispatch.nodes() for dispatch in self._dispatches)):
            for node in some:
                known = found.setdefault((node.host, node.pid), node)
                if known is not node:
                    silent_s, runs = max(known.silent_s, node.silent_s), known.runs + node.runs
                    found[node.host, node.pid] = replace(known, silent_s=silent_s, runs=runs)
        return [node for _, node in sorted(found.items())]
