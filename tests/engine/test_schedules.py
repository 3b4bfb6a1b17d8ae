"""Schedules on virtual time: cron across clock changes, intervals, once, pauses, and firings nobody was there for."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stepwell.core.errors import InvalidInputError, RefusedError, WorkflowNotFoundError
from stepwell.engine import Schedule
from stepwell.engine.schedules import check, next_after
from stepwell.store.model import RunQuery

from .harness import CrashAt, Crashed, Life, World
from .scenes import play, simple


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def firings(after: str, count: int, *, zone: str = "UTC", **rule: Any) -> list[str]:
    """The next firings in UTC."""
    schedule = Schedule(id="s", workflow="w", timezone=zone, created_at=at(after), **rule)
    found, now = [], at(after)
    for _ in range(count):
        due_at = next_after(schedule, now)
        if due_at is None:
            break
        found.append(datetime.fromtimestamp(due_at, UTC).strftime("%m-%d %H:%M"))
        now = due_at
    return found


CRON: list[tuple[str, str, str, str, list[str]]] = [
    ("every day at nine", "0 9 * * *", "UTC", "2025-06-15", ["06-15 09:00", "06-16 09:00"]),
    ("nine in Berlin stays nine in Berlin in spring", "0 9 * * *", "Europe/Berlin", "2025-03-29",
     ["03-29 08:00", "03-30 07:00", "03-31 07:00"]),
    ("and in autumn", "0 9 * * *", "Europe/Berlin", "2025-10-25", ["10-25 07:00", "10-26 08:00", "10-27 08:00"]),
    ("a time that spring skips comes right after", "30 2 * * *", "Europe/Berlin", "2025-03-29",
     ["03-29 01:30", "03-30 01:00", "03-31 00:30"]),
    ("a time that autumn repeats comes once", "30 2 * * *", "Europe/Berlin", "2025-10-25",
     ["10-25 00:30", "10-26 00:30", "10-27 01:30"]),
    ("every half hour goes through the repeated hour", "*/30 * * * *", "Europe/Berlin", "2025-10-26T01:45",
     ["10-26 00:00", "10-26 00:30", "10-26 01:00", "10-26 01:30"]),
    ("Mondays", "0 0 * * 1", "UTC", "2025-06-15", ["06-16 00:00", "06-23 00:00"]),
    ("the 29th of February", "0 0 29 2 *", "UTC", "2025-06-15", ["02-29 00:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cron", "zone", "after", "expected"), CRON, ids=[row[0] for row in CRON])
def test_cron_fires(name: str, cron: str, zone: str, after: str, expected: list[str]) -> None:
    schedule = Schedule(id="s", workflow="w", cron=cron, timezone=zone)
    now, found = at(after, zone), []
    for _ in expected:
        due_at = next_after(schedule, now)
        assert due_at is not None
        assert due_at > now, name
        found.append(datetime.fromtimestamp(due_at, UTC).strftime("%m-%d %H:%M"))
        now = due_at
    assert found == expected, name


def test_interval_and_once_fire() -> None:
    assert firings("2025-06-15", 3, every_s=90.0) == ["06-15 00:01", "06-15 00:03", "06-15 00:04"]
    assert firings("2025-06-15", 3, at=at("2025-06-16")) == ["06-16 00:00"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "expected exactly one of"),
    ({"cron": "* * * * *", "at": 1.0}, "found cron, at"),
    ({"every_s": 0.0}, "every_s: expected a number of seconds from 0.001 up to 100 years, found 0"),
    ({"every_s": 1e-320}, "every_s: expected a number of seconds from 0.001"),
    ({"every_s": float("nan")}, "every_s: expected a number of seconds from 0.001 up to 100 years, found nan"),
    ({"after_s": float("inf")}, "after_s: expected a number of seconds from 0 up to 100 years, found inf"),
    ({"after_s": -1.0}, "after_s: expected a number of seconds from 0"),
    ({"every_s": True}, "every_s: expected a number"),
    ({"at": float("inf")}, "at: expected a time up to the year 9999"),
    ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, "at: expected a time up to the year 9999, in seconds since 1970"),
    ({"cron": 5}, "cron: expected five fields"),
    ({"cron": "* * * * *", "timezone": ""}, "timezone: expected an IANA name, found ''"),
    ({"at": 1.0, "timezone": None}, "timezone: expected an IANA name, found None"),
    ({"cron": "61 * * * *"}, "cron: "),
    ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, "timezone: expected an IANA name, found 'Mars/Olympus'"),
]


@pytest.mark.parametrize(("rule", "sentence"), WRONG)
def test_wrong_rule_is_refused_by_name(rule: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check(Schedule(id="s", workflow="w", **rule))
    assert sentence in str(caught.value)


async def _starts(life: Life) -> list[float]:
    return sorted(run.created_at for run in await life.engine.list_runs(RunQuery(limit=1000)))


def test_interval_starts_runs_until_it_is_dropped() -> None:
    async def scenario(life: Life) -> None:
        began = life.engine.clock.now()
        rule = await life.engine.schedule("simple", 7, every_s=60, owner="anna", labels={"a": "b"})
        await asyncio.sleep(200)
        assert [start - began for start in await _starts(life)] == pytest.approx([60, 120, 180], abs=1.1)
        (run, *_) = await life.engine.list_runs()
        assert (run.owner, run.door, run.labels) == ("anna", "schedule", {"a": "b", "schedule": rule.id})
        (now,) = await life.engine.list_schedules()
        assert now.last_run_id == run.run_id
        assert now.next_at == pytest.approx(began + 240)
        await life.engine.unschedule(rule.id)
        await asyncio.sleep(200)
        assert len(await _starts(life)) == 3

    play({"simple": simple}, scenario, quiet=True)


def test_schedule_fires_once_at_an_instant() -> None:
    async def scenario(life: Life) -> None:
        due_at = life.engine.clock.now() + 100
        await life.engine.schedule("simple", at=due_at)
        await asyncio.sleep(1000)
        assert await _starts(life) == [pytest.approx(due_at, abs=1.1)]
        assert (await life.engine.list_schedules())[0].next_at is None

    play({"simple": simple}, scenario, quiet=True)


def test_paused_schedule_does_not_fire_and_makes_up_for_nothing() -> None:
    async def scenario(life: Life) -> None:
        began = life.engine.clock.now()
        rule = await life.engine.schedule("simple", every_s=60)
        assert (await life.engine.pause_schedule(rule.id)).paused
        await asyncio.sleep(200)
        assert await _starts(life) == []
        await life.engine.pause_schedule(rule.id, paused=False)
        await asyncio.sleep(110)
        assert [start - began for start in await _starts(life)] == pytest.approx([240, 300], abs=1.1)

    play({"simple": simple}, scenario, quiet=True)


def test_firings_missed_while_nobody_ran_are_made_up_for_by_one() -> None:
    with World({"simple": simple}) as world:

        async def begin(life: Life) -> None:
            await life.engine.schedule("simple", every_s=60)

        world.live(begin)
        world.now += 600.0

        async def later(life: Life) -> list[float]:
            await asyncio.sleep(30)
            assert len(await _starts(life)) == 1
            await asyncio.sleep(60)
            return await _starts(life)

        assert len(world.live(later)) == 2
        world.check()


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("after", [False, True])
def test_firing_cut_by_a_crash_starts_one_run(number: int, after: bool) -> None:
    with World({"simple": simple}) as world:

        async def scenario(life: Life) -> list[float]:
            if not await life.engine.list_schedules():
                await life.engine.schedule("simple", at=due_at)
            await asyncio.sleep(max(0.0, due_at + 10 - life.engine.clock.now()))
            return await _starts(life)

        due_at = world.now + 30
        try:
            starts = world.live(scenario, crash=CrashAt(number, after))
        except Crashed:
            starts = world.live(scenario)
        assert len(starts) == 1
        world.check(crashes=1)


def test_same_id_replaces_a_schedule_and_unknown_ones_are_refused() -> None:
    async def scenario(life: Life) -> None:
        for every_s in (60.0, 600.0):
            await life.engine.schedule("simple", id="s", every_s=every_s)
        assert [rule.every_s for rule in await life.engine.list_schedules()] == [600.0]
        with pytest.raises(RefusedError, match="no schedule x"):
            await life.engine.unschedule("x")
        with pytest.raises(WorkflowNotFoundError):
            await life.engine.schedule("nothing", every_s=60)

    play({"simple": simple}, scenario)
