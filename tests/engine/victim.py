"""A process to be killed: it drives runs on a database file until all have ended, and says what was acknowledged.

Everything it does it may do again after a kill: starts have start keys, signals have ids, decisions stand. Its
activities and acknowledgements are lines appended to files, which outlive it.

`failpoint` is `before_commit:17` or `after_commit:17`: it kills itself with SIGKILL at that boundary. As a command:
`STEPWELL_FAILPOINT=after_commit:3 python tests/engine/victim.py FOLDER`.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import ProgramError, RefusedError, StepFailure
from stepwell.core.errors import problem as problem_of
from stepwell.core.history import Actor
from stepwell.core.program import RunContext, StepContext, Work
from stepwell.core.retry import RetryPolicy
from stepwell.dispatch.local import FileLock, LocalDispatch
from stepwell.engine import Engine, EngineOptions
from stepwell.programs.native import NativePrograms
from stepwell.store.model import RunQuery
from stepwell.store.sqlite import SqliteStore
from stepwell.store.sqlite.connection import connect

RUNS = 3


def at_boundary(failpoint: str) -> Callable[[str], None] | None:
    """What kills this process at the n-th boundary of that kind; None without a fail point."""
    place, _, number = failpoint.partition(":")
    passed = 0

    def pass_by(boundary: str) -> None:
        nonlocal passed
        passed += boundary == place
        if passed == int(number) and boundary == place:
            os.kill(os.getpid(), signal.SIGKILL)

    return pass_by if place else None


class Victim:
    """One life."""

    def __init__(self, folder: Path, failpoint: str) -> None:
        self.folder = folder
        self.database = str(folder / "runs.db")
        native = NativePrograms()
        native.add("mixed", self.mixed)
        native.add("child", self.child)
        self.boundaries = 0
        die = at_boundary(failpoint)

        def count(boundary: str) -> None:
            self.boundaries += boundary == "before_commit"
            if die is not None:
                die(boundary)

        self.engine = Engine(
            store=SqliteStore(self.database), dispatch=LocalDispatch(), programs=[native],
            options=EngineOptions(idle_s=0.05), at_boundary=count,
        )  # fmt: skip

    # --- what is run ------------------------------------------------------------------------------------------------

    def does(self, value: Any, *, fails: int = 0) -> Work:
        """An activity that appends a line to a file; its attempts up to `fails` fail."""

        async def work(step: StepContext) -> Any:
            seq = self.disk.execute("SELECT seq FROM run WHERE uuid = ?", (step.run_id,)).get
            self.write("ran", {"run_id": step.run_id, "key": step.key, "attempt": step.attempt, "disk_seq": seq})
            await asyncio.sleep(0.001)
            if step.attempt <= fails:
                raise StepFailure(problem_of("runtime", "not yet"))
            return value

        return work

    def write(self, name: str, line: Any) -> None:
        with open(self.folder / name, "a", buffering=1) as file:
            file.write(json.dumps(line) + "\n")

    async def mixed(self, ctx: RunContext, input: Any) -> Any:
        out = [
            await ctx.step("/first", self.does(input, fails=1), retry=RetryPolicy(max_attempts=9, initial_s=0.005))
        ]
        out.append(await ctx.race("/fork", {name: partial(self.branch, name) for name in "ab"}, until="all"))
        got = await ctx.wait("/wait", "go")
        out.append(got.data if got else None)
        out.append((await ctx.approve("/approve", ApprovalRequest())).decision)
        await ctx.sleep_until("/sleep", ctx.now + 0.03)
        out.append(await ctx.child("/child", "child", input))
        await ctx.publish("/publish", {"n": input})
        return out

    async def branch(self, name: str, ctx: RunContext) -> Any:
        try:
            await ctx.step(f"/fork/{name}/bad", self.does(None, fails=1_000))
        except ProgramError:
            return await ctx.step(f"/fork/{name}/good", self.does(name))

    async def child(self, ctx: RunContext, input: Any) -> Any:
        return await ctx.step("/only", self.does({"child of": input}))

    # --- its life ---------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        lock = FileLock(self.database).acquire()
        await self.engine.open()
        self.disk = connect(self.database)
        for name in ("mixed", "child"):
            await self.engine.save(kind="python", name=name, version="1", text=name)
        await asyncio.gather(*(self.see_through(number) for number in range(RUNS)))
        for run in await self.engine.list_runs(RunQuery(limit=100)):
            await self.engine.result(run.run_id, timeout_s=20)
        while await self.engine.store.take_outbox(1e12, 1):  # noqa: ASYNC110  # it is what a client sees
            await asyncio.sleep(0.01)
        self.disk.close()
        await self.engine.close()
        lock.release()
        self.write("boundaries", self.boundaries)

    async def see_through(self, number: int) -> None:
        """Start a run and give it what it waits for, until its end."""
        engine = self.engine
        started = await engine.start("mixed", number, start_key=f"run-{number}")
        run_id = started.run_id
        self.write("acknowledged", {"what": "start", "run_id": run_id})
        sender = Actor(type="local", id=f"sender-{number}")
        await self.acknowledge("signal", run_id, engine.signal(run_id, "go", number, id="go", actor=sender), sender)
        while not (state := await engine.state(run_id)).terminal:
            step = state.find("/approve")
            if step is not None and step.approval is not None:
                decider = Actor(type="local", id=f"decider-{number}-{os.getpid()}")
                deciding = engine.decide_approval(run_id, step.approval.id, approved=True, actor=decider)
                await self.acknowledge("decision", run_id, deciding, decider)
                break
            await asyncio.sleep(0.005)
        result = await engine.result(run_id, timeout_s=20)
        self.write("results", {"run_id": run_id, "status": result.status, "output": result.output})

    async def acknowledge(self, what: str, run_id: str, doing: Any, actor: Actor) -> None:
        with suppress(RefusedError):
            await doing
            self.write("acknowledged", {"what": what, "run_id": run_id, "actor": actor.id})


def main(folder: str, failpoint: str = "") -> None:
    asyncio.run(Victim(Path(folder), failpoint).live())


if __name__ == "__main__":
    main(sys.argv[1], os.environ.get("STEPWELL_FAILPOINT", ""))
