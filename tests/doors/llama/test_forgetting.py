"""Records of handlers go with the runs that they stand for."""

from pathlib import Path

import pytest

import stepwell
from stepwell.doors.llama.forgetting import ForgetHandlers
from stepwell.settings import Settings

from .classes import Ask, Echo
from .door import Door, opened

KEEP_S = 1_000.0
LATER_S = 2 * KEEP_S


@pytest.fixture
def app(tmp_path: Path) -> stepwell.App:
    app = stepwell.App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db", keep_ended_s=KEEP_S))
    app.add_workflow("echo", Echo())
    app.add_workflow("ask", Ask(timeout=None))
    return app


async def records(door: Door) -> list[str]:
    store = door.app.engine.store
    return [record.kind for kind in ("handler", "handler_gone") for record in await store.get_records(kind)]


async def later(door: Door) -> None:
    """The duties of a server whose clock is further."""
    now = door.app.engine.clock.now() + LATER_S
    await door.app.engine.prune(ended_before=now - KEEP_S)
    await ForgetHandlers(door.app.engine).run_once(now)


async def test_the_record_of_a_purged_run_goes_with_it(app: stepwell.App) -> None:
    async with opened(app) as door:
        handler_id = (await door.run("echo")).json()["handler_id"]
        await door.post(f"/handlers/{handler_id}/cancel?purge=true")
        assert await records(door) == ["handler_gone"]

        await later(door)

        assert await records(door) == []


async def test_the_records_of_a_continued_run_go_with_the_last_of_it(app: stepwell.App) -> None:
    async with opened(app) as door:
        handler_id = (await door.run("echo")).json()["handler_id"]
        await door.run("echo", {"handler_id": handler_id})
        assert await records(door) == ["handler", "handler_gone"]

        await later(door)

        assert await records(door) == []


async def test_the_record_of_a_run_that_is_open_stays(app: stepwell.App) -> None:
    async with opened(app, "/llama") as door:
        await door.post("/workflows/ask/run-nowait", {"handler_id": "mine", "start_event": {}})

        await later(door)

        assert await records(door) == ["handler"]
        assert (await door.get("/handlers/mine")).json()["status"] == "running"


async def test_records_stay_as_long_as_runs_do(app: stepwell.App) -> None:
    async with opened(app) as door:
        handler_id = (await door.run("echo")).json()["handler_id"]
        await door.run("echo", {"handler_id": handler_id})

        await ForgetHandlers(app.engine).run_once(app.engine.clock.now() + LATER_S)

        assert await records(door) == ["handler", "handler_gone"]
