"""Flows that start themselves, directly, through others or by their own events: there is an end to it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from flow_engine import PATIENCE_S, event, in_engine, runs, save, started

from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.store.model import RunQuery, RunRow


def runs_flow(name: str, more: str = "") -> str:
    """A task that runs a flow."""
    return f"{{r: {{run: {{workflow: {{namespace: test, name: {name}}}{more}}}}}}}"


async def all_runs(engine: Engine) -> list[RunRow]:
    """Every run, oldest first, once nothing more comes."""
    found: list[RunRow] = []
    while True:
        await asyncio.sleep(60)
        before, found = len(found), await runs(engine)
        if len(found) == before:
            return found


@pytest.mark.parametrize("through", ["a", "b"])
def test_flow_that_runs_itself_fails_at_the_limit(tmp_path: Path, through: str) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "a", f"do: [{runs_flow(through)}]")
        await save(engine, "b", f"do: [{runs_flow('a')}]")
        await started(engine, "a")
        return await all_runs(engine)

    [found] = in_engine(tmp_path, main)
    chain = [("a", through)[depth % 2] for depth in range(12)]
    assert [run.workflow for run in found] == chain
    assert {run.status for run in found} == {Status.FAILED}
    words = f"expected at most 10 workflows (max_depth) that start one another, found 11: {' > '.join(chain)}"
    assert all(words in (run.error_text or "") for run in found)
    assert [run.started_at is None for run in found] == [False] * 11 + [True]


def test_depth_may_be_caught_where_it_is_too_much(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        caught = "catch: {do: [{s: {set: {title: '${ $error.title }'}}}]}"
        await save(engine, "a", f"do: [{{t: {{try: [{runs_flow('a')}], {caught}}}}}]")
        return await engine.run("a", timeout_s=PATIENCE_S)

    [result] = in_engine(tmp_path, main)
    assert result.output == {"title": "Nested too deep"}


def test_children_that_nobody_waits_for_come_to_an_end_too(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "a", f"do: [{runs_flow('a', ', await: false')}]")
        await started(engine, "a")
        return await all_runs(engine)

    [found] = in_engine(tmp_path, main)
    assert [run.status for run in found] == [Status.COMPLETED] * 11 + [Status.FAILED]


EMIT = "emit: {event: {with: {source: s, type: t}}}"


@pytest.mark.parametrize(
    ("on", "tasks"),
    [
        ("one: {with: {type: t}}", f"{{e: {{{EMIT}}}}}"),
        ("any: []", f"{{e: {{{EMIT}}}}}"),
        ("all: [{with: {type: t}}, {with: {type: t}}]", f"{{e: {{{EMIT}}}}}, {{f: {{{EMIT}}}}}"),
    ],
)
def test_flow_that_its_own_events_start_comes_to_an_end(tmp_path: Path, on: str, tasks: str) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "a", f"schedule: {{on: {{{on}}}}}\ndo: [{tasks}]")
        for id in "12"[: tasks.count("emit")]:
            await engine.send_event(event(id))
        return await all_runs(engine)

    [found] = in_engine(tmp_path, main)
    assert [run.status for run in found] == [Status.COMPLETED] * 11 + [Status.FAILED]
    assert " > ".join("a" * 12) in (found[-1].error_text or "")


def test_siblings_and_rounds_are_not_depth(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "kid", "do: [{s: {set: {done: true}}}]")
        await save(engine, "a", f"do: [{{f: {{for: {{in: .n}}, do: [{runs_flow('kid')}]}}}}]")
        result = await engine.run("a", {"n": list(range(30))}, timeout_s=PATIENCE_S)
        return result.output, len(await engine.list_runs(RunQuery(limit=100)))

    assert in_engine(tmp_path, main) == [({"done": True}, 31)]
