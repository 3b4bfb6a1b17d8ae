"""`stepwell runs verify`: whether a run's history is what was committed."""

import asyncio

import msgspec

from stepwell.cli.faults import ExitError
from stepwell.cli.opening import open_client
from stepwell.cli.options import THERE, Json, RunId, Target
from stepwell.cli.output import write_json
from stepwell.core.chain import Verified


def verify(run_id: RunId, /, *, json: Json = False, where: Target = THERE) -> None:
    """Check the hashes of a run's history: 0 when every event fits, else 1."""
    found = asyncio.run(_verify(run_id, where))
    if json:
        write_json(msgspec.to_builtins(found))
    else:
        print(_sentence(found))
    if not found.ok:
        raise ExitError(1)


async def _verify(run_id: str, where: Target) -> Verified:
    async with open_client(where) as client:
        return await client.verify(run_id)


def _sentence(found: Verified) -> str:
    if found.ok and found.first is not None:
        before = f"; the {found.first - 1} before were not chained" if found.first > 1 else ""
        return f"ok: events {found.first} to {found.seq} are as they were committed{before}, {found.hash}"
    place = f"event {found.at}: " if found.at is not None else ""
    return f"not verified: {place}{found.fault}"
