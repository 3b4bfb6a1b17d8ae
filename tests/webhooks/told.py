"""A process to be killed: it starts runs that are told of, on a database file. `failpoint` as in `engine.victim`."""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from engine.victim import at_boundary
from stepwell.core.program import RunContext
from stepwell.dispatch.local import FileLock, LocalDispatch
from stepwell.engine import Engine, EngineOptions
from stepwell.programs.http import HttpxClient
from stepwell.programs.native import NativePrograms
from stepwell.store.sqlite import SqliteStore
from stepwell.webhooks import Webhooks

RUNS = 5


async def told(ctx: RunContext, input: Any) -> Any:
    return await ctx.record("/value", input)


async def live(folder: Path, url: str, secret: str, failpoint: str) -> None:
    database = str(folder / "runs.db")
    lock = FileLock(database).acquire()
    store = SqliteStore(database)
    native = NativePrograms()
    native.add("told", told)
    webhooks = Webhooks(store, HttpxClient(), check_url=lambda _: None, now=time.time)
    engine = Engine(
        store=store, dispatch=LocalDispatch(), programs=[native], options=EngineOptions(idle_s=0.05),
        webhooks=webhooks, at_boundary=at_boundary(failpoint),
    )  # fmt: skip
    await engine.open()
    await engine.save(kind="python", name="told", version="1", text="told")
    if not webhooks.listed(None):
        await webhooks.add(owner="", url=url, events=["workflow.run.completed"], secret=secret)
    for number in range(RUNS):
        started = await engine.start("told", number, start_key=f"run-{number}", callback_url=url)
        with (folder / "acknowledged").open("a") as file:
            file.write(json.dumps(started.run_id) + "\n")
    while await store.waiting_endpoints():  # noqa: ASYNC110  # it is what a client sees
        await asyncio.sleep(0.01)
    await engine.close()
    with contextlib.suppress(FileNotFoundError):
        lock.release()


def main(folder: str, url: str, secret: str, failpoint: str = "") -> None:
    asyncio.run(live(Path(folder), url, secret, failpoint))


if __name__ == "__main__":
    main(*sys.argv[1:])
