"""Compensation: what has completed is undone, the last first, by a run of its own that is started once."""

import asyncio
from typing import Any

import pytest

from engine.harness import CrashAt
from stepwell.core.errors import RefusedError
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.programs.http import HttpResponse
from stepwell.store.model import RunQuery, RunRow

from .plan_world import (
    RUN_ID,
    Calls,
    Endpoint,
    PlanWorld,
    Played,
    Scenario,
    ended,
    http,
    play,
    quiet,
    start,
    step,
    template,
    variables,
    work,
)


def undone(key: str, name: str = "", **rest: Any) -> dict[str, Any]:
    """A step that works, and that can be undone."""
    args = {"name": name or f"{{{{ steps.{key}.output }}}} of {{{{ input.order }}}}"}
    return work(key, compensate={"action": "function", "function": "undo", "args": args}, **rest)


def undoings(played: Played) -> list[str]:
    return [word for word in played.calls.log if word.startswith("undo")]


ORDER = variables(order="string")
THREE = (undone("a"), undone("b"), undone("c"))
ALL = ["undo c of 7", "undo b of 7", "undo a of 7"]


def world_failing(*names: str) -> PlanWorld:
    calls = Calls()
    calls.fails = dict.fromkeys(names, -1)
    return PlanWorld(calls=calls)


async def compensations(engine: Engine) -> list[RunRow]:
    return [row for row in await engine.list_runs(RunQuery(limit=100)) if row.workflow.endswith("/compensate")]


def cancelling(after_s: float, **options: Any) -> Scenario:
    async def act(engine: Engine) -> None:
        await asyncio.sleep(after_s)
        await engine.cancel(RUN_ID, **options)

    return act


# --- when -----------------------------------------------------------------------------------------------------------


def test_a_run_that_fails_is_undone_in_reverse_order_when_its_template_says_so() -> None:
    document = template(*THREE, work("d"), variables=ORDER, compensate_on=["failure"])
    assert undoings(play(document, {"order": "7"}, world=world_failing("d"))) == ALL


def test_a_run_that_fails_is_left_as_it_is_otherwise() -> None:
    document = template(*THREE, work("d"), variables=ORDER)
    assert undoings(play(document, {"order": "7"}, world=world_failing("d"))) == []


def test_a_run_that_times_out_is_undone_too() -> None:
    document = template(*THREE, work("d", takes=100), variables=ORDER, compensate_on=["failure"], timeout_seconds=5)
    assert undoings(play(document, {"order": "7"})) == ALL


@pytest.mark.parametrize(("compensate", "expected"), [(True, ALL), (False, [])])
def test_a_cancelled_run_is_undone_when_that_was_asked_for(compensate: bool, expected: list[str]) -> None:
    document = template(*THREE, work("d", takes=100), variables=ORDER)
    played = play(document, {"order": "7"}, acts=cancelling(5, compensate=compensate))
    assert played.result.status is Status.CANCELLED
    assert undoings(played) == expected


def test_a_roll_back_undoes_what_it_forgets() -> None:
    async def act(engine: Engine) -> None:
        await asyncio.sleep(5)
        point = next(step.ended_seq for step in (await engine.view(RUN_ID)).steps if step.key == "a")
        await engine.pause(RUN_ID)
        await engine.roll_back(RUN_ID, point, compensate=True)
        await asyncio.sleep(5)
        assert [word for word in calls.log if word.startswith("undo")] == ["undo c of 7", "undo b of 7"]
        await engine.resume(RUN_ID)

    calls = Calls()
    document = template(*THREE, work("d", takes=20), variables=ORDER)
    played = play(document, {"order": "7"}, acts=act, world=PlanWorld(calls=calls))
    assert played.result.status is Status.COMPLETED
    assert calls.log.count("end b") == 2
    assert calls.log.count("end a") == 1


def test_nothing_is_started_when_there_is_nothing_to_undo() -> None:
    async def scenario(engine: Engine) -> Any:
        await start(engine, template(work("x", takes=9), undone("a"), variables=ORDER), {"order": "7"})
        await asyncio.sleep(1)
        await engine.cancel(RUN_ID, compensate=True)
        await quiet(engine)
        return await compensations(engine)

    with PlanWorld() as world:
        assert world.play(scenario) == []


# --- what -----------------------------------------------------------------------------------------------------------


def test_only_completed_steps_are_undone() -> None:
    document = template(
        undone("a"),
        undone("skipped", when="false"),
        undone("failed", on_error="continue"),
        undone("running", takes=100),
        variables=ORDER,
    )
    played = play(document, {"order": "7"}, acts=cancelling(5, compensate=True), world=world_failing("failed"))
    assert undoings(played) == ["undo a of 7"]


def test_the_order_is_that_of_completion() -> None:
    document = template(
        undone("slow", takes=3, depends_on=[]), undone("quick", takes=1), work("z", takes=100), variables=ORDER
    )
    played = play(document, {"order": "7"}, acts=cancelling(5, compensate=True))
    assert undoings(played) == ["undo slow of 7", "undo quick of 7"]


def test_items_of_a_foreach_are_undone_one_by_one() -> None:
    inner = undone("in", "item {{ item }} at {{ index }}: {{ steps.in.output }} after {{ steps.a.output }}")
    document = template(
        work("a"), step("each", "foreach", {"items": ["p", "q"], "steps": [inner]}), work("z", takes=100)
    )
    played = play(document, acts=cancelling(5, compensate=True))
    assert sorted(undoings(played)) == ["undo item p at 0: in after a", "undo item q at 1: in after a"]


def test_a_compensation_may_be_a_request_and_names_the_run_it_undoes() -> None:
    endpoint = Endpoint()
    request = {"action": "http.request", "method": "DELETE", "url": "https://them.example/{{ run.id }}"}
    played = play(
        template(http("h", method="POST", compensate=request), work("z", takes=100)),
        acts=cancelling(5, compensate=True),
        world=PlanWorld(endpoint=endpoint),
    )
    assert played.result.status is Status.CANCELLED
    assert [(one.method, one.url) for one in endpoint.asked[1:]] == [("DELETE", f"https://them.example/{RUN_ID}")]
    assert endpoint.asked[0].headers["Idempotency-Key"] != endpoint.asked[1].headers["Idempotency-Key"]


def test_one_that_fails_does_not_keep_the_others_from_being_undone() -> None:
    endpoint = Endpoint(lambda request: HttpResponse(status=404 if request.method == "DELETE" else 200))
    request = {"action": "http.request", "method": "DELETE", "url": "https://them.example/x"}

    async def scenario(engine: Engine) -> RunRow:
        document = template(undone("a"), http("h", compensate=request), work("z", takes=100), variables=ORDER)
        await start(engine, document, {"order": "7"})
        await asyncio.sleep(5)
        await engine.cancel(RUN_ID, compensate=True)
        await quiet(engine)
        return (await compensations(engine))[0]

    world = PlanWorld(endpoint=endpoint)
    with world:
        row = world.play(scenario)
    assert row.status is Status.FAILED
    assert "found 404" in (row.error_text or "")
    assert world.calls.log[-1] == "undo a of 7"


def test_a_compensation_is_tried_again() -> None:
    endpoint = Endpoint(lambda _: HttpResponse(status=503 if len(endpoint.asked) == 2 else 200))
    request = {"action": "http.request", "method": "DELETE", "url": "https://them.example/x"}
    played = play(
        template(http("h", compensate=request), work("z", takes=100)),
        acts=cancelling(5, compensate=True),
        world=PlanWorld(endpoint=endpoint),
    )
    assert played.result.status is Status.CANCELLED
    assert [one.method for one in endpoint.asked] == ["GET", "DELETE", "DELETE"]


def test_the_compensation_is_a_child_of_the_run_and_belongs_to_its_owner() -> None:
    async def scenario(engine: Engine) -> RunRow:
        await start(engine, template(*THREE, work("d", takes=9), variables=ORDER), {"order": "7"}, owner="ann")
        await asyncio.sleep(5)
        await engine.cancel(RUN_ID, compensate=True)
        await quiet(engine)
        return (await compensations(engine))[0]

    with PlanWorld() as world:
        row = world.play(scenario)
    assert (row.workflow, row.version, row.owner, row.parent_id) == ("plan/compensate", "1", "ann", RUN_ID)
    assert (row.status, row.workflow_name) == (Status.COMPLETED, "Undo Plan")


# --- afterwards -----------------------------------------------------------------------------------------------------


def test_a_retry_of_an_undone_run_begins_from_the_start() -> None:
    async def act(engine: Engine) -> None:
        await asyncio.sleep(5)
        await engine.cancel(RUN_ID, compensate=True)
        await quiet(engine)
        with pytest.raises(RefusedError, match="a retry begins from the start"):
            await engine.roll_back(RUN_ID, 5)
        calls.log.clear()
        await engine.retry(RUN_ID)
        assert (await ended(engine)).status is Status.COMPLETED

    calls = Calls()
    document = template(*THREE, work("d", takes=20), variables=ORDER)
    played = play(document, {"order": "7"}, acts=act, world=PlanWorld(calls=calls))
    assert [word for word in calls.log if word.startswith("end")] == ["end a", "end b", "end c", "end d"]
    assert [one.status for one in played.step("a").attempts] == ["completed", "completed"]


# --- with a kill in between -----------------------------------------------------------------------------------------


async def undo_three(engine: Engine) -> dict[str, int]:
    """Cancel a run with three compensations, and see how often each was done."""
    await start(engine, template(*THREE, work("d", takes=100), variables=ORDER), {"order": "7"})
    while (await engine.view(RUN_ID)).steps[2].status != "completed":  # noqa: ASYNC110  # on virtual time
        await asyncio.sleep(0.5)
    if not (await engine.state(RUN_ID)).terminal:
        await engine.cancel(RUN_ID, compensate=True)
    await quiet(engine)
    rows = await compensations(engine)
    assert len(rows) == 1, "it is started once"
    assert rows[0].status is Status.COMPLETED
    history = await engine.history(rows[0].run_id)
    return {key: sum(getattr(event, "key", "") == key for event in history) for key in ("a", "b", "c")}


def test_three_compensations_survive_a_kill_anywhere() -> None:
    with PlanWorld() as world:
        world.play(undo_three)
        writes = world.writes
        assert [word for word in world.calls.log if word.startswith("undo")] == ALL
    for number in range(1, writes + 1):
        for after in (False, True):
            with PlanWorld() as world:
                world.play(undo_three, crash=CrashAt(number, after))
                done = [word for word in world.calls.log if word.startswith("undo")]
                firsts = list(dict.fromkeys(done))
                where = f"crash {'after' if after else 'before'} write {number}"
                assert firsts == ALL, where
                assert len(done) <= 4, f"{where}: only the one in flight is repeated"
                world.check(crashes=1)
