"""A node that PostgreSQL cannot be reached from: its runs go on elsewhere, and it is fenced when it comes back."""

import asyncio
import time
from typing import Any

from stepwell import App
from stepwell.core import history as h
from stepwell.core.program import RunContext, StepContext
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.settings import Settings

from .nodes import PATIENCE_S, eventually, nodes
from .server import new_database
from .wire import Wire

TAKEN_OVER_WITHIN_S = 15.0
RUNS = 20


class Cut:
    """What steps of the node that is cut off wait for, and how many do."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.waiting = 0


def _node(url: str, cut: Cut | None = None) -> App:
    async def two_steps(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        async def first(step: StepContext) -> str:  # noqa: ARG001
            return "first"

        async def second(step: StepContext) -> str:  # noqa: ARG001
            if cut is None:
                return "elsewhere"
            cut.waiting += 1
            await cut.over.wait()
            return "late"

        return [await ctx.step("/first", first), await ctx.step("/second", second)]

    app = App(settings=Settings(db=url, idle_s=0.05))
    app.add_workflow("two_steps", two_steps)
    return app


async def test_runs_of_a_node_that_is_cut_off_go_on_elsewhere_and_its_late_writes_are_refused() -> None:
    database, cut = new_database(), Cut()
    async with Wire(database).laid() as wire, nodes(_node(wire.url, cut)) as (away,):
        run_ids = [(await away.start("two_steps", n)).run_id for n in range(RUNS)]
        await eventually(lambda: _are(cut, RUNS))
        wire.cut()
        cut_at = time.monotonic()
        async with nodes(_node(database)) as (other,):
            results = [await other.result(run_id, timeout_s=PATIENCE_S) for run_id in run_ids]
            took_s = time.monotonic() - cut_at
            cut.over.set()  # and now the steps that were cut off say what came of them
            wire.mend()
            await eventually(lambda: _lets_go(away))
            seen = [await away.result(run_id, timeout_s=PATIENCE_S) for run_id in run_ids]
            histories = [await other.history(run_id) for run_id in run_ids]
    assert {result.status for result in results} == {Status.COMPLETED}
    assert (
        [result.output for result in results] == [result.output for result in seen] == [["first", "elsewhere"]] * RUNS
    )
    assert took_s < TAKEN_OVER_WITHIN_S
    for events in histories:
        assert [event.key for event in events if isinstance(event, h.StepCompleted)] == ["/first", "/second"]


async def _are(cut: Cut, number: int) -> bool:
    return cut.waiting == number


async def _lets_go(engine: Engine) -> bool:
    return not engine.drivers.active
