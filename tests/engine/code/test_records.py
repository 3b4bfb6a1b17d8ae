"""What a hosted run leaves behind, and what it takes from there: its stream, its state, its failures."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from stepwell.core.history import AnyEvent, StepCompleted, StepFailed
from stepwell.core.status import Status
from stepwell.store.model import StreamItem

from ..harness import CrashAt, Crashed, Life
from . import samples
from .hosting import CodeWorld, face_of

PATIENCE_S = 10_000.0


class Told(Event):
    n: int


class Tells(Workflow):
    """Writes events to the stream while it works, and fails or succeeds as it is told."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(3):
            ctx.write_event_to_stream(Told(n=n))
            await asyncio.sleep(1.0)
        if ev.get("fail"):
            raise ValueError(ev.get("fail"))
        return StopEvent(result="told")


def told(
    workflow: Workflow, input: Any, crash: CrashAt | None = None
) -> tuple[Any, list[StreamItem], list[AnyEvent]]:
    """The result, stream and history of one run."""
    run_id = ""

    async def all(life: Life) -> tuple[Any, list[StreamItem]]:
        nonlocal run_id
        run_id = (await life.engine.start("one", input, start_key="the one")).run_id
        result = await life.engine.result(run_id, timeout_s=PATIENCE_S)
        return result, await life.engine.stream(run_id)

    with CodeWorld({"one": workflow}) as world:
        try:
            result, items = world.live(all, crash=crash)
        except Crashed:
            result, items = world.live(all)
        return result, items, world.history(run_id)


def shown(items: list[StreamItem]) -> list[str]:
    return [item.data["type"] for item in items if not item.data["internal"]]


def test_the_stream_ends_with_the_stop_event() -> None:
    _, items, _ = told(Tells(timeout=None), {})

    assert shown(items) == ["Told", "Told", "Told", "StopEvent"]
    assert items[-1].data == {
        "value": {"result": "told"},
        "qualified_name": "workflows.events.StopEvent",
        "type": "StopEvent",
        "types": None,
        "internal": False,
    }
    assert {item.data["type"] for item in items if item.data["internal"]} == {"StepStateChanged"}


def test_the_stream_of_a_failed_run_ends_with_the_reason() -> None:
    _, items, _ = told(Tells(timeout=None), {"fail": "boom"})

    assert items[-1].data["type"] == "WorkflowFailedEvent"
    assert items[-1].data["types"] == ["StopEvent"]
    assert items[-1].data["value"]["step_name"] == "only"
    assert items[-1].data["value"]["exception"]["exception_message"] == "boom"


def test_the_stream_of_a_run_that_took_too_long_says_so() -> None:
    _, items, _ = told(Tells(timeout=2), {})

    assert items[-1].data["type"] == "WorkflowTimedOutEvent"


def test_events_of_a_step_that_ran_again_carry_their_attempt() -> None:
    _, items, _ = told(Tells(timeout=None), {}, CrashAt(5, after=True))

    attempts = [(item.key, item.attempt) for item in items if item.data["type"] == "Told"]
    assert attempts == [("only/1", 1)] * (len(attempts) - 3) + [("only/1", 2)] * 3
    assert len(attempts) > 3


def test_every_invocation_is_a_step_of_the_run() -> None:
    _, _, history = told(samples.Flaky(timeout=None), {})

    closed = [(event.key, type(event)) for event in history if isinstance(event, StepCompleted | StepFailed)]
    assert closed == [("only/1", StepFailed), ("only/1~1", StepFailed), ("only/1~2", StepCompleted)]


class Opaque(Workflow):
    """Keeps, or gives back, what cannot be written down."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ev.get("where") == "state":
            await ctx.store.set("thing", object())
        return StopEvent(result=object())


def test_what_cannot_be_kept_fails_the_step_and_says_why() -> None:
    in_state, _, _ = told(Opaque(), {"where": "state"})
    given_back, _, _ = told(Opaque(), {})

    assert "the state cannot be kept" in in_state.error.detail
    assert "what the step gave back cannot be kept" in given_back.error.detail


EVIL = {"__is_pydantic": True, "value": {}, "qualified_name": "os.system"}


@dataclass
class Holder:
    thing: Any


@pytest.mark.parametrize(
    "thing", [{"deep": [EVIL]}, (EVIL,), [(EVIL,)], Holder(EVIL)], ids=["deep", "tuple", "inner tuple", "dataclass"]
)
def test_a_plain_value_that_names_a_class_is_not_kept(thing: Any) -> None:
    class Keeps(Workflow):
        @step
        async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:  # noqa: ARG002
            await ctx.store.set("thing", thing)
            return StopEvent()

    result, _, _ = told(Keeps(), {})

    assert "'__is_pydantic'" in result.error.detail


class Held(Workflow):
    """State of a declared type."""

    @step
    async def only(self, ctx: Context[samples.Count], ev: StartEvent) -> StopEvent:
        async with ctx.store.edit_state() as state:
            state.number += ev.get("add")
        return StopEvent(result=state.number)


def continued(workflow: Workflow) -> list[Any]:
    """Two runs, the second with the state of the first, and a third with that of the second."""

    async def all(life: Life) -> list[Any]:
        face = await face_of(life.engine, "one")
        outputs: list[Any] = []
        context: dict[str, Any] = {}
        for _ in range(3):
            input = face.with_context(face.read_start({"add": 2}), context)
            started = await life.engine.start("one", input)
            outputs.append((await life.engine.result(started.run_id, timeout_s=PATIENCE_S)).output)
            context = await face.context_after(await life.engine.history(started.run_id))
        return outputs

    with CodeWorld({"one": workflow}) as world:
        return world.live(all)


def test_a_run_may_go_on_from_the_state_of_another() -> None:
    assert continued(Held()) == [2, 4, 6]
    assert continued(samples.Adds()) == [2, 4, 6]


class Nested(Workflow):
    """Runs another workflow, and itself, by hand."""

    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        if ev.get("inner"):
            return StopEvent(result="inner")
        other = await samples.Plain().run(x="other")
        same = await self.run(inner=True)
        return StopEvent(result=[other, same])


def test_a_run_that_a_step_starts_by_hand_is_its_own_affair() -> None:
    result, _, history = told(Nested(), {})

    assert result.output == ["other", "inner"]
    assert len([event for event in history if isinstance(event, StepCompleted)]) == 1


def test_a_disk_that_is_full_stops_the_run_until_there_is_space() -> None:
    async def all(life: Life) -> tuple[Any, list[str]]:
        samples.ran.clear()
        started = await life.engine.start("one", {"number": 3})
        await asyncio.sleep(1.5)
        life.store.full = True
        await asyncio.sleep(50.0)
        while_full = list(samples.ran)
        life.store.full = False
        return (await life.engine.result(started.run_id, timeout_s=PATIENCE_S)).output, while_full

    with CodeWorld({"one": samples.Chain(timeout=None)}) as world:
        output, while_full = world.live(all)

    assert output == [3, 2, 1, 0]
    assert "go_on 0" not in while_full, "it went on though nothing could be written"


def test_runs_of_one_object_at_once_are_limited_as_it_says() -> None:
    async def all(life: Life) -> float:
        began = asyncio.get_running_loop().time()
        runs = [await life.engine.start("one", {"seconds": 10}) for _ in range(4)]
        for run in runs:
            assert (await life.engine.result(run.run_id, timeout_s=PATIENCE_S)).status is Status.COMPLETED
        return asyncio.get_running_loop().time() - began

    with CodeWorld({"one": samples.Slow(timeout=None, num_concurrent_runs=2)}) as world:
        assert 20.0 <= world.live(all) < 25.0
