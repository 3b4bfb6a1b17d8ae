"""Dispatch of one run and of the runs it started, whatever else the database holds.

For `stepwell run`: it drives what it was asked to run, not what somebody else left in the same file.
"""

from collections.abc import Awaitable, Callable

from stepwell.dispatch.port import Dispatch, Drive, NodeInfo

ParentOf = Callable[[str], Awaitable[str | None]]
"""The id of the run that started this one; None when no run did."""


class FamilyDispatch:
    """Drives `root` and its descendants; every other submitted run is left as it is (`dispatch.port.Dispatch`)."""

    def __init__(self, inner: Dispatch, *, root: str, parent_of: ParentOf) -> None:
        self._inner = inner
        self._family = {root}
        self._parent_of = parent_of

    def start(self, run_id: str, workflow: str) -> int:
        return self._inner.start(run_id, workflow)

    def submit(self, run_id: str, delay_s: float = 0.0) -> None:
        self._inner.submit(run_id, delay_s)

    def interrupt(self, run_id: str) -> None:
        self._inner.interrupt(run_id)

    async def serve(self, drive: Drive) -> None:
        async def drive_family(run_id: str) -> bool:
            return await self._belongs(run_id) and await drive(run_id)

        await self._inner.serve(drive_family)

    async def stop(self, grace_s: float) -> None:
        await self._inner.stop(grace_s)

    async def nodes(self) -> list[NodeInfo]:
        return await self._inner.nodes()

    async def _belongs(self, run_id: str) -> bool:
        """Whether the root is the run itself or above it; what is found is kept."""
        if run_id in self._family:
            return True
        parent = await self._parent_of(run_id)
        if parent is None or not await self._belongs(parent):
            return False
        self._family.add(run_id)
        return True
