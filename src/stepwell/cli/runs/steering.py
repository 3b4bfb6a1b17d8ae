"""`stepwell runs cancel`, `pause`, ...: commands to a run. They are appended to its history in the database; whoever
drives the run sees them there within 200 ms.
"""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from stepwell.cli.actor import local_actor
from stepwell.cli.opening import open_client
from stepwell.cli.options import THERE, Json, JsonText, RunId, Target, read_json
from stepwell.cli.output import say, write_json
from stepwell.core import commands as c
from stepwell.core.status import Status

Reason = Annotated[str, Parameter(help="Why; it is kept in the history.")]


def cancel(run_id: RunId, /, *, reason: Reason = "", json: Json = False, where: Target = THERE) -> None:
    """End a run at once."""
    _tell(run_id, c.CancelRun(reason=reason, actor=local_actor()), where, done="is cancelled", json=json)


def stop(run_id: RunId, /, *, reason: Reason = "", json: Json = False, where: Target = THERE) -> None:
    """Let the steps in flight finish, begin no other, then end the run as cancelled."""
    _tell(run_id, c.StopRun(reason=reason, actor=local_actor()), where, done="is to stop", json=json)


def pause(run_id: RunId, /, *, reason: Reason = "", json: Json = False, where: Target = THERE) -> None:
    """Begin no step until the run is resumed; those in flight finish."""
    _tell(run_id, c.PauseRun(reason=reason, actor=local_actor()), where, done="is paused", json=json)


def resume(run_id: RunId, /, *, json: Json = False, where: Target = THERE) -> None:
    """Let a paused run go on."""
    _tell(run_id, c.ResumeRun(actor=local_actor()), where, done="goes on", json=json)


def retry(run_id: RunId, /, *, json: Json = False, where: Target = THERE) -> None:
    """Let a failed or cancelled run go on from what failed; what completed stays."""
    _tell(run_id, c.RetryRun(actor=local_actor()), where, done="is tried again from what failed", json=json)


def signal(
    run_id: RunId,
    name: Annotated[str, Parameter(help="The signal's name.")],
    /,
    *,
    data: Annotated[JsonText, Parameter(help="Its data: JSON, @file, or - for stdin.")] = None,
    id: Annotated[str | None, Parameter(help="The same id twice is one signal.")] = None,
    json: Json = False,
    where: Target = THERE,
) -> None:
    """Send a signal to a run; it is kept until a wait takes it."""
    value = read_json(data, option="--data")

    async def send() -> Status:
        async with open_client(where) as client:
            await client.signal(run_id, name, value, id=id, actor=local_actor())
            return await client.status(run_id)

    _report(run_id, asyncio.run(send()), changed=True, done=f"has the signal {name}", json=json)


def _tell(run_id: str, command: c.OutsideCommand, where: Target, *, done: str, json: bool) -> None:
    async def send() -> tuple[bool, Status]:
        async with open_client(where) as client:
            changed = await client.tell(run_id, command)
            return changed, await client.status(run_id)

    changed, status = asyncio.run(send())
    _report(run_id, status, changed=changed, done=done, json=json)


def _report(run_id: str, status: Status, *, changed: bool, done: str, json: bool) -> None:
    if json:
        write_json({"id": run_id, "status": status, "changed": changed})
    else:
        say(f"run {run_id} {done}" if changed else f"run {run_id} is {status}: there was nothing to change")
