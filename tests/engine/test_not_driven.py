"""Runs of a workflow that this process does not have: they stay as they are, and the log says so once."""

from pathlib import Path

import stepwell
from logged import logged
from stepwell.core.history import AnyEvent
from stepwell.settings import Settings


def with_sleeper(db: str) -> stepwell.App:
    app = stepwell.App(settings=Settings(db=db))

    @app.workflow
    async def sleeper(ctx: stepwell.RunContext, _input: object) -> None:
        await ctx.sleep("long", 3600)

    return app


async def test_the_reason_is_logged_once_for_all_runs_of_a_workflow(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/runs.db"
    async with with_sleeper(db) as app:
        runs = [(await app.engine.start("sleeper")).run_id for _ in range(3)]
    with logged() as said:
        async with stepwell.App(settings=Settings(db=db)) as without:  # it takes them up by itself, too
            for run_id in runs:
                assert not await without.engine.drivers.drive(run_id)
    assert [line["event"] for line in said] == ["run.not_driven"]
    assert "sleeper" in said[0]["error"]


async def test_a_history_that_is_read_in_pages_is_folded_once(tmp_path: Path) -> None:
    async with with_sleeper(f"sqlite:///{tmp_path}/runs.db") as app:
        run_id = (await app.engine.start("sleeper")).run_id
        asked: list[int] = []
        events = app.engine.store.events

        async def noted(run_id: str, after_seq: int, limit: int) -> list[AnyEvent]:
            asked.append(after_seq)
            return await events(run_id, after_seq, limit)

        app.engine.store.events = noted  # type: ignore[method-assign]
        await app.engine.hiding(run_id)
        await app.engine.hiding(run_id)
    assert asked[0] == 0
    assert asked[1] > 0
