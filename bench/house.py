"""The engine under test, put together as a user does: flow documents and functions, loaded through `App`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from stepwell import App, RunContext
from stepwell.engine import Engine
from stepwell.settings import Settings
from stepwell.tuning import tune_interpreter

FLOWS: Final = Path(__file__).parent / "flows"
Gate = Callable[[], Awaitable[None]]


async def noop() -> None:
    """The step of the benchmark."""


async def waits(ctx: RunContext, _input: Any) -> None:
    """A run that waits on a signal."""
    await ctx.wait("/do/0/go", "go", name="go")


async def _open_gate() -> None:
    """Lets everything through."""


@asynccontextmanager
async def open_engine(
    database: Path | str,
    *,
    more: tuple[str, ...] = (),
    idle_s: float = 5.0,
    drive: bool = True,
    gate: Gate = _open_gate,
) -> AsyncIterator[Engine]:
    """An open engine that knows the workflows of `flows/`, and `waits`. `gate` is what `call: gate` does.

    `database`: a file of SQLite, or a URL; `more` are those of others over which runs are spread.
    """
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    app = App(drive=drive, settings=Settings(db=url, more_dbs=more, idle_s=idle_s))
    app.function(noop)
    app.function(name="gate")(gate)
    app.add_workflow("waits", waits)
    app.load(FLOWS)
    tune_interpreter()
    async with app:
        yield app.engine


async def run_at_once(engine: Engine, workflow: str, runs: int, input: Any = None) -> None:
    """Start that many runs at once, and wait until each has completed."""
    results = await asyncio.gather(*(engine.run(workflow, input) for _ in range(runs)))
    assert all(result.status == "completed" for result in results), "a run of the benchmark failed"


async def none_live(engine: Engine) -> None:
    """Wait until no run on disk needs a driver."""
    while await engine.store.wanted(engine.clock.now(), 1):  # noqa: ASYNC110  # the store tells nobody
        await asyncio.sleep(0.01)
