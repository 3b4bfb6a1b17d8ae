"""The engine under test, put together as a user does; the one place to change when that changes."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from stepwell.core.program import RunContext
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine
from stepwell.engine.engine import EngineOptions
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions
from stepwell.programs.native import NativePrograms
from stepwell.store.sqlite import SqliteStore

PURE_TASKS: Final = 1_000
_HEAD: Final = "document: {{dsl: '1.0.3', namespace: bench, name: {name}, version: '1.0.0'}}\ndo:\n"
Gate = Callable[[], Awaitable[None]]


def document(name: str, tasks: list[str]) -> str:
    """A flow of these tasks, one after the other."""
    return _HEAD.format(name=name) + "".join(f"  - t{number}: {task}\n" for number, task in enumerate(tasks))


DOCUMENTS: Final = {
    "one": document("one", ["{call: noop}"]),
    "ten": document("ten", ["{call: noop}"] * 10),
    "gated": document("gated", ["{call: noop}", "{call: gate}", "{call: noop}"]),
    "pure": document("pure", ["{set: {n: '${ .n }'}}"] * PURE_TASKS),
}


async def noop() -> None:
    """The step of the benchmark."""


async def waits(ctx: RunContext, _input: Any) -> None:
    """A run that waits on a signal."""
    await ctx.wait("/do/0/go", "go", name="go")


async def _open_gate() -> None:
    """Lets everything through."""


@asynccontextmanager
async def open_engine(
    database: Path, *, idle_s: float = 5.0, drive: bool = True, gate: Gate = _open_gate
) -> AsyncIterator[Engine]:
    """An open engine that knows the workflows one, ten, gated, pure and waits. `gate` is what `call: gate` does."""
    functions, native = Functions(), NativePrograms()
    functions.function(noop)
    functions.function(name="gate")(gate)
    native.add("waits", waits)
    engine = Engine(
        store=SqliteStore(str(database)),
        dispatch=LocalDispatch(),
        programs=[FlowPrograms(functions=functions), native],
        options=EngineOptions(idle_s=idle_s),
    )
    tune_gc()
    await engine.open(drive=drive)
    try:
        if drive:
            await _save_workflows(engine)
        yield engine
    finally:
        await engine.close()


async def _save_workflows(engine: Engine) -> None:
    now = engine.clock.now()
    for name, text in DOCUMENTS.items():
        await engine.workflows.save(kind="flow", name=name, version="1.0.0", text=text, now=now)
    await engine.workflows.save(kind="python", name="waits", version="1.0.0", text="waits", now=now)


async def run_at_once(engine: Engine, workflow: str, runs: int, input: Any = None) -> None:
    """Start that many runs at once, and wait until each has completed."""
    results = await asyncio.gather(*(engine.run(workflow, input) for _ in range(runs)))
    assert all(result.status == "completed" for result in results), "a run of the benchmark failed"


def tune_gc() -> None:
    """As the server does: what is loaded stays, and young garbage is looked at less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
