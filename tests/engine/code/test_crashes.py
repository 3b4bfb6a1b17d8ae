"""Every sample, stopped at every write to the store and run again: it comes to the same end.

What may differ is what the step in flight did. No recorded step runs again (`world.check`), no acknowledged event is
lost, and no step meets a write of its own from before the crash.
"""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from workflows import Workflow

from stepwell.core.errors import RefusedError
from stepwell.core.history import AnyEvent, SignalReceived
from stepwell.core.status import Status

from ..harness import CrashAt, Crashed, Life
from . import samples
from .hosting import CodeWorld, post

RUN_ID = "01900000-0000-7000-8000-000000000002"
PATIENCE_S = 10_000.0
SOAK = bool(os.environ.get("STEPWELL_SOAK"))
ANSWER = {"type": "Answer", "value": {"text": "yes", "about": "tea"}}
AWKWARD = {"type": "Answer", "value": {"text": "yes", "class_name": "x", "to_dict": "y"}}


@dataclass(frozen=True)
class Sample:
    """A workflow, its input, and the events that are posted to its run, by the second in which that is done."""

    workflow: Workflow
    output: Any
    input: Any = field(default_factory=dict)
    posts: tuple[tuple[float, dict[str, Any]], ...] = ()
    fails: bool = False


SAMPLES = {
    "plain": Sample(samples.Plain(), 5, {"x": 5}),
    "fails": Sample(samples.Plain(), None, {"fail": "boom"}, fails=True),
    "typed events": Sample(samples.Hello(), {"text": "hello ada"}, {"name": "ada"}),
    "chain": Sample(samples.Chain(timeout=None), [2, 1, 0], {"number": 2}),
    "typed state": Sample(samples.Typed(timeout=None), [2, ["first", "second"]]),
    "bump": Sample(samples.Bump(timeout=None), 1),
    "retries": Sample(samples.Flaky(timeout=None), 2),
    "human": Sample(samples.Human(timeout=None), "got yes", posts=((100.0, ANSWER),)),
    "human, at once": Sample(samples.Human(timeout=None), "got yes", posts=((0.0, ANSWER),)),
    "fields called as something else": Sample(
        samples.Human(timeout=None), "got yes", {"class_name": "x"}, ((100.0, AWKWARD),)
    ),
    "waits in a step": Sample(
        samples.Waits(timeout=None),
        "got yes",
        {"about": "tea"},
        ((10.0, {"type": "Answer", "value": {"text": "no", "about": "coffee"}}), (100.0, ANSWER)),
    ),
    "side by side": Sample(samples.Shared(timeout=None), [["a", "b"], {"a": 1, "b": 1}]),
    "lists": Sample(samples.Lists(timeout=None), [0, 2, 4]),
    "an empty list": Sample(samples.Lists(timeout=None), [], {"number": 0}),
    "caught": Sample(samples.Rescued(timeout=None), ["only", "boom", 1]),
    "one of each": Sample(samples.Both(timeout=None), [1, 2]),
    "spread": Sample(samples.Spread(timeout=None), [[0, 1, 2, 3], {f"part {n}": 1 for n in range(4)}]),
    "times out": Sample(samples.Human(timeout=50), None, fails=True),
}


class Play:
    """One run over all its lives."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.started = False
        self.acknowledged: set[str] = set()
        self.status = Status.PENDING
        self.output: Any = None

    async def live(self, life: Life) -> None:
        await life.engine.start("one", self.sample.input, run_id=RUN_ID, start_key="the one")
        self.started = True
        posting = [asyncio.ensure_future(self._post(life, number)) for number in range(len(self.sample.posts))]
        result = await life.engine.result(RUN_ID, timeout_s=PATIENCE_S)
        self.status, self.output = result.status, result.output
        await asyncio.gather(*posting)

    async def _post(self, life: Life, number: int) -> None:
        at, body = self.sample.posts[number]
        created_at = (await life.engine.state(RUN_ID)).created_at
        await asyncio.sleep(created_at + at - asyncio.get_running_loop().time())
        try:
            await post(life.engine, RUN_ID, "one", body, id=str(number))
        except RefusedError:
            return  # it had arrived before the crash, and the run has ended
        self.acknowledged.add(str(number))


def play(sample: Sample, crash: CrashAt | None) -> tuple[Play, CodeWorld]:
    found = Play(sample)
    with CodeWorld({"one": sample.workflow}, additional_events=[samples.Answer]) as world:
        crashes = 0
        before: list[AnyEvent] = []
        try:
            world.live(found.live, crash=crash)
        except Crashed:
            crashes = 1
            before = world.history(RUN_ID)
            assert before or not found.started, "an acknowledged run is gone"
            world.check(crashes=1, quiet=False)
            world.live(found.live)
        after = world.history(RUN_ID)
        assert after[: len(before)] == before, "the history was changed by a crash"
        heard = {event.id for event in after if isinstance(event, SignalReceived)}
        assert found.acknowledged <= heard
        world.check(crashes=crashes)
        again = Counter((ran.key, ran.attempt) for ran in world.lab.ran)
        assert all(number == 1 for number in again.values()), "an attempt ran twice"
    return found, world


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_crash_at_any_write_changes_nothing(name: str) -> None:
    sample = SAMPLES[name]
    expected, world = play(sample, None)
    assert expected.status is (Status.FAILED if sample.fails else Status.COMPLETED)
    assert expected.output == sample.output

    for number in range(1, world.writes + 1):
        # After a write is nearly the same as before the next.
        for after in (False, True) if SOAK else (number % 2 == 0,):
            found, _ = play(sample, CrashAt(number, after))
            where = f"crash {'after' if after else 'before'} write {number} of {world.writes}"
            assert (found.status, found.output) == (expected.status, expected.output), where
