"""Waiting for the end of a run on behalf of a client: as long as it is there, and as the server is."""

import asyncio

import msgspec

from stepwell.core.state import State
from stepwell.doors.kit.calls import Call
from stepwell.doors.kit.streams import disconnected


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """How the wait ended: with the run (`state`), because the client had `gone`, else with the time or the server."""

    state: State | None = None
    gone: bool = False


async def wait_for_end(call: Call, run_id: str, *, most_s: float | None = None) -> Waited:
    """Until the run has ended, the time is up, the client has gone or the server stops: the run goes on without both.

    Raises what keeps the end from being seen (`StorageError`, `RunNotFoundError`).
    """
    ended = asyncio.ensure_future(call.engine.ended(run_id))
    gone = asyncio.ensure_future(disconnected(call.request.receive))
    stopping = asyncio.ensure_future(call.engine.watchers.closed())
    waits = {ended, gone, stopping}
    try:
        await asyncio.wait(waits, timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return Waited(state=ended.result())
        return Waited(gone=gone.done())
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
