"""Flows in a real engine on virtual time: a world of them, and what scenarios say again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from engine.harness import World
from engine.virtual_time import VirtualLoop, run_virtual
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine, EngineOptions
from stepwell.programs.callbacks import SecretTokens
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions
from stepwell.store.model import RunQuery, RunRow
from stepwell.store.sqlite import SqliteStore

Scenario = Callable[[Engine], Awaitable[Any]]

PATIENCE_S = 1_000.0
TOKENS = SecretTokens(lambda: b"secret")

functions = Functions()


@functions.function
async def add(a: int, b: int = 1) -> int:
    return a + b


class FlowWorld(World):
    """A world whose workflows are flows."""

    def engine(self, store: SqliteStore, loop: VirtualLoop) -> Engine:
        return new_engine(store, loop, self.options)


def new_engine(store: SqliteStore, loop: VirtualLoop, options: EngineOptions | None = None) -> Engine:
    return Engine(
        store=store,
        dispatch=LocalDispatch(),
        clock=loop,
        options=options,
        programs=[FlowPrograms(functions=functions, callbacks=TOKENS)],
    )


async def save(engine: Engine, name: str, body: str) -> None:
    text = f"document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '1.0.0'}}\n{body}"
    await engine.save(kind="flow", name=name, version="1.0.0", text=text)


def event(id: str, type: str = "t", data: Any = None) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": "s", "type": type, "data": data}


async def started(engine: Engine, name: str, input: Any = None) -> str:
    return (await engine.start(name, input, start_key=name)).run_id


async def output(engine: Engine, run_id: str) -> Any:
    result = await engine.result(run_id, timeout_s=PATIENCE_S)
    assert result.error is None, result.error
    return result.output


async def runs(engine: Engine, workflow: str = "", *, at_least: int = 1) -> list[RunRow]:
    """The runs of a workflow, oldest first, once there are so many and all have ended."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [run for run in await engine.list_runs(RunQuery(limit=1000)) if workflow in ("", run.workflow)]
            if len(found) >= at_least and all(run.ended_at is not None for run in found):
                return found[::-1]
            await asyncio.sleep(0.5)


def in_engine(path: Path, *scenarios: Scenario) -> list[Any]:
    """The scenarios, each in an engine of its own on one file, one after the other."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        found = []
        for scenario in scenarios:
            engine = new_engine(SqliteStore(str(path / "runs.db")), loop, EngineOptions(idle_s=0.2))
            await engine.open()
            found.append(await scenario(engine))
            await engine.close()
        return found

    found: list[Any] = run_virtual(main())
    return found
