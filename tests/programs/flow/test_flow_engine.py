# ruff: noqa: E501, ASYNC110  a document of one line is easier to read whole; conditions of others are polled
"""Events, schedules, children and callbacks of flows in a real engine, on virtual time.

Every scenario is played once as it is, then stopped at every write to the store and gone on with in another life.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from flow_engine import PATIENCE_S, FlowWorld, Scenario, event, in_engine, output, runs, save, started

from engine.harness import CrashAt, Crashed, Life
from stepwell.core.errors import ERROR_BASE
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.programs.callbacks import signal_of
from stepwell.store.model import RunQuery

# --- scenarios ------------------------------------------------------------------------------------------------------


async def two_runs_talk(engine: Engine) -> Any:
    """One emits what the other waits for, also before it is reached; each hears the other."""
    await save(
        engine,
        "ask",
        "do: [{w: {wait: PT1S}}, {e: {emit: {event: {with: {source: ask, type: question, data: '${ . }'}}}}}, "
        "{l: {listen: {to: {one: {with: {type: answer, data: {to: '${ $workflow.id }'}}}}}}}]",
    )
    await save(
        engine,
        "answer",
        "do: [{l: {listen: {to: {one: {with: {type: question}}}, read: envelope}}}, {w: {wait: PT1S}}, "
        "{e: {emit: {event: {with: {source: answer, type: answer, data: {to: '${ .[0].data.id }', n: '${ .[0].data.n }'}}}}}}]",
    )
    answering = await started(engine, "answer")
    run_id = (await engine.start("ask", {"n": 5, "id": ASKING}, run_id=ASKING, start_key="ask")).run_id
    answer = await output(engine, run_id)
    assert (await output(engine, answering))["data"]["n"] == 5
    return answer


ASKING = "01900000-0000-7000-8000-00000000000a"


async def early_and_twice(engine: Engine) -> Any:
    """Events that come before their task, some of them twice."""
    await save(
        engine,
        "late",
        "do: [{w: {wait: PT30S}}, {l: {listen: {to: {any: [{with: {type: t, data: '${ . > 0 }'}}], "
        "until: '${ .[2] != null }'}}, foreach: {do: [{a: {call: add, with: {a: '${ $item }'}}}]}}}]",
    )
    run_id = await started(engine, "late")
    for one in (event("1", data=1), event("2", data=0), event("1", data=1), event("3", "u", 9), event("4", data=2)):
        await engine.send_event(one)
    await asyncio.sleep(60)
    for one in (event("4", data=2), event("5", data=3)):
        await engine.send_event(one)
    return await output(engine, run_id)


async def gathered_in_a_loop(engine: Engine) -> Any:
    await save(
        engine,
        "loop",
        "do: [{f: {for: {in: .n}, do: [{l: {timeout: {after: PT9M}, listen: {to: {all: [{with: {type: a}, correlate: {c: {from: .data.c}}}, "
        "{with: {type: b}, correlate: {c: {from: .data.c}}}]}}, export: {as: {now: '${ . }', before: '${ $context.now }'}}}}]}}, "
        "{s: {set: '${ $context }'}}]",
    )
    run_id = await started(engine, "loop", {"n": [1, 2]})
    for id, kind, c in (("1", "a", 1), ("2", "a", 2), ("3", "b", 2), ("4", "b", 1)):
        await engine.send_event(event(id, kind, {"c": c}))
        await asyncio.sleep(1)
    return await output(engine, run_id)


async def a_listen_in_a_race(engine: Engine) -> Any:
    await save(
        engine,
        "race",
        "do: [{f: {fork: {compete: true, branches: [{a: {listen: {to: {one: {with: {type: a}}}}}}, "
        "{b: {listen: {to: {one: {with: {type: b}}}, read: envelope}, output: {as: '.[0].data'}}}]}}}]",
    )
    run_id = await started(engine, "race")
    await engine.send_event(event("1", "b", "second branch"))
    return await output(engine, run_id)


async def a_child_completes(engine: Engine) -> Any:
    await save(engine, "kid", "do: [{w: {wait: PT5S}}, {a: {call: add, with: {a: '${ .n }'}}}]")
    await save(
        engine,
        "parent",
        "do: [{r: {run: {workflow: {namespace: test, name: kid, version: '1.0.0', input: {n: '${ .x }'}}}}}]",
    )
    return await output(engine, await started(engine, "parent", {"x": 41}))


async def a_child_fails(engine: Engine) -> Any:
    await save(engine, "kid", "do: [{r: {raise: {error: {type: 'https://x.y/odd', status: 418, title: Odd}}}}]")
    await save(
        engine,
        "parent",
        "do: [{t: {try: [{r: {run: {workflow: {namespace: test, name: kid}}}}], "
        "catch: {errors: {with: {type: odd}}, do: [{s: {set: {got: '${ $error }'}}}]}}}]",
    )
    return await output(engine, await started(engine, "parent"))


async def a_callback_comes(engine: Engine) -> Any:
    await save(engine, "ask", "do: [{c: {call: callback, with: {timeout_seconds: 600}}}]")
    run_id = await started(engine, "ask")
    while not (signals := list((await engine.state(run_id)).awaiting)):
        if (await engine.state(run_id)).terminal:
            break
        await asyncio.sleep(0.1)
    for signal in signals:
        if (await engine.state(run_id)).status is not Status.COMPLETED:
            await engine.signal(run_id, signal, {"status": "completed", "output": signal[:9]}, id="1")
    return await output(engine, run_id)


SCENARIOS: dict[str, tuple[Scenario, Any]] = {
    "talk": (two_runs_talk, [{"to": ASKING, "n": 5}]),
    "early": (early_and_twice, [2, 3, 4]),
    "loop": (gathered_in_a_loop, {"now": [{"c": 2}, {"c": 2}], "before": [{"c": 1}, {"c": 1}]}),
    "race": (a_listen_in_a_race, "second branch"),
    "child": (a_child_completes, 42),
    "failing child": (
        a_child_fails,
        {
            "got": {
                "type": "https://x.y/odd",
                "title": "Odd",
                "status": 418,
                "instance": "/do/0/t/try/0/r",
                "data": {"workflow": "kid", "instance": "/do/0/r"},
            }
        },
    ),
    "callback": (a_callback_comes, "callback:"),
}


def play(scenario: Scenario, crash: CrashAt | None = None) -> tuple[Any, int]:
    """What the scenario came to, and how often its last life wrote."""

    async def live(life: Life) -> Any:
        return await scenario(life.engine)

    with FlowWorld({}) as world:
        try:
            found = world.live(live, crash=crash)
        except Crashed:
            found = world.live(live)
        world.check(crashes=1 if crash else 0, quiet=False)
        return found, world.writes


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_survives_a_crash_at_every_write(name: str) -> None:
    scenario, wanted = SCENARIOS[name]
    found, writes = play(scenario)
    assert found == wanted
    for number in range(1, writes + 1):
        for after in (False, True):
            found, _ = play(scenario, CrashAt(number, after=after))
            assert found == wanted, f"stopped {'after' if after else 'before'} write {number}"


# --- on a file ------------------------------------------------------------------------------------------------------


def test_event_that_came_while_nobody_ran_is_there(tmp_path: Path) -> None:
    async def start(engine: Engine) -> str:
        await save(engine, "wait", "do: [{l: {listen: {to: {any: []}}}}]")
        return await started(engine, "wait")

    async def send(engine: Engine) -> None:
        await engine.send_event(event("1", data="x"))

    async def look(engine: Engine) -> Any:
        return await output(engine, (await runs(engine))[0].run_id)

    assert in_engine(tmp_path, start, send, look)[-1] == ["x"]


def test_scheduled_events_start_runs(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(
            engine,
            "one",
            "schedule: {on: {one: {with: {type: t, data: '${ .n > 1 }'}}}}\ndo: [{s: {set: '${ .[0].data.n }'}}]",
        )
        for id, n in (("1", 1), ("2", 2), ("2", 2), ("3", 3)):
            await engine.send_event(event(id, data={"n": n}))
        return [await output(engine, run.run_id) for run in await runs(engine, at_least=2)]

    assert sorted(in_engine(tmp_path, main)[0]) == [2, 3]


def test_schedule_of_all_events_collects_them(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(
            engine,
            "both",
            "schedule: {on: {all: [{with: {type: a}}, {with: {type: b, data: '${ .n > 1 }'}}]}}\n"
            "do: [{s: {set: {a: '${ .[0].data }', b: '${ $workflow.input[1].data.n }'}}}]",
        )
        await engine.send_event(event("1", "b", {"n": 1}))
        await engine.send_event(event("2", "b", {"n": 2}))
        await asyncio.sleep(100)
        assert not await engine.list_runs(RunQuery())
        await engine.send_event(event("3", "a", "x"))
        return [await output(engine, run.run_id) for run in await runs(engine)]

    assert in_engine(tmp_path, main) == [[{"a": "x", "b": 2}]]


def test_emitted_event_starts_a_run(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "hear", "schedule: {on: {one: {with: {type: ping}}}}\ndo: [{s: {set: '${ .[0].data }'}}]")
        await save(engine, "say", "do: [{e: {emit: {event: {with: {source: s, type: ping, data: pong}}}}}]")
        await started(engine, "say")
        return [await output(engine, run.run_id) for run in await runs(engine, "hear")]

    assert in_engine(tmp_path, main) == [["pong"]]


@pytest.mark.parametrize(
    ("schedule", "starts"),
    [
        ("every: {minutes: 10}", [600, 1200, 1800]),
        ("after: PT10M", [0, 700, 1400]),
        ("cron: '*/20 * * * *'", [800, 2000, 3200]),
    ],
)
def test_runs_start_by_themselves_as_the_clock_moves(tmp_path: Path, schedule: str, starts: list[int]) -> None:
    async def main(engine: Engine) -> Any:
        began = engine.clock.now()
        await save(engine, "tick", f"schedule: {{{schedule}}}\ndo: [{{w: {{wait: PT100S}}}}]")
        await asyncio.sleep(starts[-1] + 50)
        found = await engine.list_runs(RunQuery(limit=1000))
        return sorted(round(run.created_at - began) for run in found)

    [found] = in_engine(tmp_path, main)
    assert len(found) == len(starts)
    assert all(wanted <= at <= wanted + 5 for at, wanted in zip(found, starts, strict=True)), found


def test_schedule_is_gone_with_the_version_that_had_it(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "tick", "schedule: {every: PT1M}\ndo: []")
        before = await engine.list_schedules()
        await save(engine, "tick", "do: []")
        return len(before), len(await engine.list_schedules())

    assert in_engine(tmp_path, main) == [(1, 0)]


def test_child_that_is_cancelled_fails_its_parent(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "kid", "do: [{w: {wait: P1D}}]")
        await save(engine, "parent", "do: [{r: {run: {workflow: {namespace: test, name: kid}}}}]")
        parent = await started(engine, "parent")
        while not (kids := [run for run in await engine.list_runs(RunQuery()) if run.workflow == "kid"]):
            await asyncio.sleep(0.1)
        await engine.cancel(kids[0].run_id)
        return await engine.result(parent, timeout_s=PATIENCE_S)

    [result] = in_engine(tmp_path, main)
    assert (result.status, result.error.type, result.error.instance) == (
        Status.FAILED,
        ERROR_BASE + "cancelled",
        "/do/0/r",
    )


def test_child_is_cancelled_with_its_parent_unless_it_is_detached(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "kid", "do: [{w: {wait: PT100S}}]")
        await save(
            engine,
            "parent",
            "do: [{a: {run: {await: false, workflow: {namespace: test, name: kid}}}}, "
            "{b: {run: {workflow: {namespace: test, name: kid}}, timeout: {after: PT10S}}}]",
        )
        result = await engine.run("parent", {"x": 1}, timeout_s=PATIENCE_S)
        return result.error and result.error.status, [run.status for run in await runs(engine, "kid", at_least=2)]

    [(status, statuses)] = in_engine(tmp_path, main)
    assert status == 408
    assert sorted(statuses) == [Status.CANCELLED, Status.COMPLETED]


def test_unknown_child_is_a_configuration_error(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "parent", "do: [{r: {run: {workflow: {namespace: test, name: nobody}}}}]")
        return await engine.run("parent", timeout_s=PATIENCE_S)

    [result] = in_engine(tmp_path, main)
    assert (result.error.type, result.error.status, result.error.instance) == (
        ERROR_BASE + "configuration",
        400,
        "/do/0/r",
    )


def test_failed_callback_asks_anew_when_the_run_is_retried(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "ask", "do: [{c: {call: callback}}]")
        run_id = await started(engine, "ask")
        signals: list[str] = []
        for answer in ({"status": "failed", "error": {"code": "no"}}, {"status": "completed", "output": "yes"}):
            while (await engine.list_runs(RunQuery()))[0].reason != "callback":
                await asyncio.sleep(0.1)
            signals += (await engine.state(run_id)).awaiting
            await engine.signal(run_id, signals[-1], answer)
            result = await engine.result(run_id, timeout_s=PATIENCE_S)
            if result.error is not None:
                assert result.error.type == ERROR_BASE + "callback_failed"
                await engine.retry(run_id)
        return signals, result.output

    [(signals, found)] = in_engine(tmp_path, main)
    assert found == "yes"
    assert len(set(signals)) == 2
    assert all(signal.startswith(signal_of("")[:9]) for signal in signals)
