"""Schedules of definitions: rules in a time zone, also across changes of the clock, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from engine.virtual_time import VirtualLoop, run_virtual
from stepwell.engine.clock import Clock
from stepwell.store.model import RunQuery

from .serving import DEFINITIONS, NOBODY, RUNS, Gates, House, details_of, json_of, new_app, review, step

BERLIN = ZoneInfo("Europe/Berlin")
ECHO = step("echo", {"value": "{{ inputs.a }}"})
INPUT = [{"name": "a", "type": "number", "default": 1}]


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def on_virtual_time(folder: Path, start: str, scenario: Callable[[House], Awaitable[None]]) -> None:
    """A scenario with the whole server, on a clock that jumps."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock: Clock = loop
        app = new_app(folder, Gates(), clock=clock)
        async with app:
            server = app.asgi()
            transport = httpx.ASGITransport(server, client=("127.0.0.1", 1))
            async with (
                server.router.lifespan_context(server),
                httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=1e9) as client,
            ):
                await scenario(House(app, "", client, Gates()))

    run_virtual(play(), start=instant(start))


async def fired(house: House) -> list[str]:
    """When runs were started, in Berlin, oldest first."""
    rows = await house.app.engine.list_runs(RunQuery(limit=100))
    return [f"{datetime.fromtimestamp(row.created_at, BERLIN):%d. %H:%M%z}" for row in reversed(rows)]


async def at(house: House, time: str) -> None:
    """Let the time pass until then; between firings, where nothing happens, it jumps."""
    loop, end = asyncio.get_running_loop(), instant(time)
    assert isinstance(loop, VirtualLoop)
    while True:
        schedules = await house.app.engine.list_schedules()
        due = [rule.next_at for rule in schedules if rule.next_at is not None and not rule.paused]
        if not due or min(due) > end:
            break
        loop._virtual_now = max(loop.time(), min(due) - 0.5)
        await asyncio.sleep(2)
    loop._virtual_now = max(loop.time(), end)
    await asyncio.sleep(1)


CHANGES = [
    (
        "2026-03-27T12:00:00+01:00",
        "2026-03-31T12:00:00+02:00",
        "30 2 * * *",
        ["28. 02:30+0100", "29. 03:00+0200", "30. 02:30+0200", "31. 02:30+0200"],
    ),
    (
        "2026-10-23T12:00:00+02:00",
        "2026-10-27T12:00:00+01:00",
        "30 2 * * *",
        ["24. 02:30+0200", "25. 02:30+0200", "26. 02:30+0100", "27. 02:30+0100"],
    ),
    (
        "2026-03-28T20:00:00+01:00",
        "2026-03-30T10:00:00+02:00",
        "0 9 * * *",
        ["29. 09:00+0200", "30. 09:00+0200"],
    ),
]
"""A time that the clock skips is made up for when it has jumped; one that it repeats is taken once."""


@pytest.mark.parametrize(("start", "end", "cron", "expected"), CHANGES, ids=["skipped", "repeated", "office hours"])
def test_rule_keeps_its_local_time_when_the_clock_changes(
    tmp_path: Path, start: str, end: str, cron: str, expected: list[str]
) -> None:
    async def scenario(house: House) -> None:
        id = await house.define(ECHO, inputs=INPUT)
        rule = {"type": "recurring", "cron": cron, "timezone": "Europe/Berlin"}
        json_of(await house.client.put(f"{DEFINITIONS}/{id}/schedule", json=rule))
        path = f"{DEFINITIONS}/{id}/upcoming-runs?limit={len(expected)}"
        upcoming = json_of(await house.client.get(path))
        assert upcoming["timezone"] == "Europe/Berlin"
        times = [datetime.fromisoformat(one["scheduledAt"]).astimezone(BERLIN) for one in upcoming["upcomingRuns"]]
        assert [f"{time:%d. %H:%M%z}" for time in times] == expected
        await at(house, end)
        assert await fired(house) == expected

    on_virtual_time(tmp_path, start, scenario)


def test_schedule_starts_runs_of_the_default_version_with_its_inputs(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        schedule = {"cron": "0 * * * *", "inputs": {"a": 7}}
        made = await house.client.post(
            DEFINITIONS, json={"name": "One", "steps": [ECHO], "inputs": INPUT, "schedule": schedule}
        )
        id = json_of(made)["workflow"]["id"]
        shown = made.json()["workflow"]["schedule"]
        assert shown == {
            "type": "recurring",
            "cron": "0 * * * *",
            "at": None,
            "timezone": "UTC",
            "paused": False,
            "inputs": {"a": 7},
            "nextRunAt": "2026-01-01T01:00:00.000Z",
            "lastRunAt": None,
            "lastRunId": None,
        }
        await at(house, "2026-01-01T01:30:00Z")
        newer = {"name": "Two", "steps": [step("add", {"a": "{{ inputs.a }}", "b": 1})], "inputs": INPUT}
        json_of(await house.client.put(f"{DEFINITIONS}/{id}", json=newer))
        await at(house, "2026-01-01T02:30:00Z")
        runs = json_of(await house.client.get(RUNS))["workflowRuns"]
        outputs = [(await house.get(run["id"]))["outputs"] for run in runs]
        assert [(run["workflowName"], output) for run, output in zip(runs, outputs, strict=True)] == [
            ("Two", 8),
            ("One", 7),
        ]
        last = json_of(await house.client.get(f"{DEFINITIONS}/{id}/schedule"))["schedule"]
        assert (last["lastRunId"], last["lastRunAt"]) == (runs[0]["id"], "2026-01-01T02:00:00.000Z")

    on_virtual_time(tmp_path, "2026-01-01T00:00:00Z", scenario)


def test_paused_schedule_fires_nothing_and_goes_on_when_resumed(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        id = await house.define(ECHO, inputs=INPUT)
        path = f"{DEFINITIONS}/{id}/schedule"

        async def status() -> Any:
            (listed,) = json_of(await house.client.get(DEFINITIONS))["workflows"]
            return listed["scheduleStatus"]

        assert await status() is None
        json_of(await house.client.put(path, json={"cron": "0 * * * *"}))
        assert await status() is False
        json_of(await house.client.put(path, json={"paused": True}))
        assert await status() is True
        assert json_of(await house.client.get(f"{DEFINITIONS}/{id}/upcoming-runs"))["upcomingRuns"] == []
        await at(house, "2026-01-01T03:30:00+01:00")
        assert await fired(house) == []
        resumed = json_of(await house.client.put(path, json={"paused": False}))["schedule"]
        assert (resumed["paused"], resumed["nextRunAt"]) == (False, "2026-01-01T03:00:00.000Z")
        await at(house, "2026-01-01T04:30:00+01:00")
        assert await fired(house) == ["01. 04:00+0100"]
        assert json_of(await house.client.delete(path)) == {"success": True}
        assert json_of(await house.client.get(path))["schedule"] is None
        await at(house, "2026-01-01T09:00:00+01:00")
        assert len(await fired(house)) == 1

    on_virtual_time(tmp_path, "2026-01-01T00:00:00+01:00", scenario)


def test_one_time_schedule_fires_once(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        id = await house.define(ECHO, inputs=INPUT)
        rule = {"type": "once", "at": "2026-03-29T02:30:00", "timezone": "Europe/Berlin"}
        shown = json_of(await house.client.put(f"{DEFINITIONS}/{id}/schedule", json=rule))["schedule"]
        assert (shown["type"], shown["at"], shown["nextRunAt"]) == ("once", *["2026-03-29T01:30:00.000Z"] * 2)
        await at(house, "2026-04-02T00:00:00Z")
        assert await fired(house) == ["29. 03:30+0200"]
        assert json_of(await house.client.get(f"{DEFINITIONS}/{id}/upcoming-runs"))["upcomingRuns"] == []

    on_virtual_time(tmp_path, "2026-03-20T00:00:00Z", scenario)


def test_deleting_a_definition_ends_its_schedule(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        id = await house.define(ECHO, inputs=INPUT)
        json_of(await house.client.put(f"{DEFINITIONS}/{id}/schedule", json={"cron": "0 * * * *"}))
        json_of(await house.client.delete(f"{DEFINITIONS}/{id}"))
        await at(house, "2026-01-01T05:00:00Z")
        assert await fired(house) == []

    on_virtual_time(tmp_path, "2026-01-01T00:00:00Z", scenario)


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ({}, "cron", "expected exactly one of cron and at, found neither"),
        (
            {"cron": "0 9 * * *", "at": "2030-01-01T00:00:00Z"},
            "cron",
            "expected exactly one of cron and at, found both",
        ),
        ({"cron": "* * * *"}, "cron", "Wrong number of fields"),
        ({"cron": "61 * * * *"}, "cron", "Bad"),
        ({"cron": "0 0 30 2 *"}, "cron", "Bad day-of-month"),
        ({"cron": "0 9 * * *", "timezone": "Mars/Base"}, "timezone", "expected an IANA name"),
        (
            {"type": "once", "cron": "0 9 * * *", "at": "2030-01-01T00:00:00Z"},
            "cron",
            "is not part of a schedule of type once",
        ),
        ({"type": "recurring"}, "cron", "is required"),
        ({"type": "once", "at": "soon"}, "at", "expected a time like 2026-04-07T12:00:00Z, found 'soon'"),
        ({"type": "once", "at": "2020-01-01T00:00:00Z"}, "at", "expected a time to come, found none"),
        ({"type": "daily", "cron": "0 9 * * *"}, "type", "expected one of recurring, once, found 'daily'"),
        ({"cron": "0 9 * * *", "inputs": {"b": 1}}, "inputs.b", "is not a declared variable"),
        ({"cron": "0 9 * * *", "paused": "no"}, "paused", "expected true or false"),
        ({"every": "PT1H"}, "every", "is not known"),
    ],
)
async def test_rule_that_is_wrong_is_refused(house: House, rule: Any, path: str, message: str) -> None:
    id = await house.define(ECHO, inputs=INPUT)
    details = details_of(await house.client.put(f"{DEFINITIONS}/{id}/schedule", json=rule))
    assert details.keys() == {path}
    assert details[path].startswith(message), details
    assert json_of(await house.client.get(f"{DEFINITIONS}/{id}/schedule"))["schedule"] is None


async def test_schedule_that_is_not_there_cannot_be_paused_or_deleted(house: House) -> None:
    for id in (await house.define(review()), NOBODY):
        path = f"{DEFINITIONS}/{id}/schedule"
        assert (await house.client.put(path, json={"paused": True})).status_code == 404
        assert (await house.client.delete(path)).status_code == 404


async def test_secret_inputs_of_a_schedule_are_masked(house: House) -> None:
    secret = [{"name": "key", "type": "string", "secret": True}]
    id = await house.define(step("echo", {"value": 1}), inputs=secret, envs=[{"name": "E", "value": "e"}])
    rule = {"cron": "0 9 * * *", "inputs": {"key": "hush-hush-99"}}
    json_of(await house.client.post(f"{DEFINITIONS}/{id}/envs", json={"envs": {"E": "saved-env-99"}}))
    answers = [
        await house.client.put(f"{DEFINITIONS}/{id}/schedule", json=rule),
        await house.client.get(f"{DEFINITIONS}/{id}/schedule"),
        await house.client.get(f"{DEFINITIONS}/{id}"),
    ]
    assert not any("hush-hush" in answer.text or "$env" in answer.text for answer in answers)
