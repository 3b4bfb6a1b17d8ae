"""Events that start runs (`schedule.on`), where something is not as it should be."""

import asyncio
from pathlib import Path
from typing import Any

from flow_engine import event, in_engine, output, runs, save, started

from engine.virtual_time import VirtualLoop, run_virtual
from stepwell.core.program import Programs, RunContext
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions
from stepwell.programs.native import NativePrograms
from stepwell.store.model import RunQuery
from stepwell.store.sqlite import SqliteStore

ON = "schedule: {on: {one: {with: {type: t}}}}\n"
BOTH = "schedule: {on: {all: [{with: {type: a}}, {with: {type: b}}]}}\n"
GIVES = "do: [{s: {set: {a: '${ .[0].id }', b: '${ .[1].id }'}}}]"


def test_workflow_that_cannot_be_compiled_here_keeps_no_event_from_the_others(tmp_path: Path) -> None:
    """A server with a function and a Python workflow that the next one does not have."""
    functions, native = Functions(), NativePrograms()

    @functions.function
    async def gone() -> None: ...

    async def program(_ctx: RunContext, _input: Any) -> None: ...

    native.add("nobody", program)

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        found: list[str] = []
        servers: list[list[Programs]] = [
            [FlowPrograms(functions=functions), native],
            [FlowPrograms(functions=Functions())],
        ]
        for kinds in servers:
            engine = Engine(
                store=SqliteStore(str(tmp_path / "t.db")), dispatch=LocalDispatch(), clock=loop, programs=kinds
            )
            await engine.open()
            if native in kinds:
                await save(engine, "a-broken", ON + "do: [{c: {call: gone}}]")
                await save(engine, "b-fine", ON + "do: [{s: {set: {n: 1}}}]")
                await save(engine, "c-other", ON + "do: []")
                await engine.workflows.save(kind="python", name="c-other", version="2", text="nobody", now=loop.now())
                await save(engine, "d-fine", ON + "do: [{s: {set: {n: 2}}}]")
            else:
                await engine.send_event(event("1"))
                found = sorted(run.workflow for run in await runs(engine, at_least=2))
                assert not await engine.store.take_outbox(1e12, 1)
            await engine.close()
        return found

    assert run_virtual(main()) == ["b-fine", "d-fine"]


def test_new_filters_begin_a_new_collection(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "both", BOTH.replace("{with: {type: b}}", "{with: {type: x}}, {with: {type: b}}") + GIVES)
        for id, kind in (("1", "b"), ("2", "x")):
            await engine.send_event(event(id, kind))
        await asyncio.sleep(5)
        await save(engine, "both", BOTH + GIVES)
        for id, kind in (("3", "a"), ("4", "b")):
            await engine.send_event(event(id, kind))
        return [await output(engine, run.run_id) for run in await runs(engine)]

    assert in_engine(tmp_path, main) == [[{"a": "3", "b": "4"}]]


def test_event_delivered_again_after_it_started_a_run_waits_for_no_other(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "both", BOTH + GIVES)
        for id, kind in (("1", "a"), ("2", "b"), ("2", "b"), ("3", "a")):
            await engine.send_event(event(id, kind))
            await asyncio.sleep(1)
        await asyncio.sleep(60)
        assert len(await engine.list_runs(RunQuery())) == 1
        await engine.send_event(event("4", "b"))
        return [await output(engine, run.run_id) for run in await runs(engine, at_least=2)]

    assert in_engine(tmp_path, main) == [[{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]]


def test_events_of_one_owner_start_runs_of_that_owner_and_are_not_mixed_with_others(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "both", BOTH + GIVES)
        for owner, id, kind in (("ann", "1", "a"), ("bob", "2", "b"), ("", "3", "b"), ("ann", "4", "b")):
            await engine.send_event(event(id, kind), owner=owner)
            await asyncio.sleep(1)
        return [(run.owner, await output(engine, run.run_id)) for run in await runs(engine)]

    assert in_engine(tmp_path, main) == [[("ann", {"a": "1", "b": "4"})]]


def test_listen_that_wants_every_event_hears_none_of_another_owner(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(engine, "hear", "do: [{l: {listen: {to: {any: []}, read: envelope}, output: {as: '.[0].id'}}}]")
        started = {owner: (await engine.start("hear", owner=owner)).run_id for owner in ("ann", "bob", "")}
        await asyncio.sleep(1)
        await engine.send_event(event("of bob"), owner="bob")
        await asyncio.sleep(5)
        await engine.send_event(event("of ann"), owner="ann")
        return {owner: await output(engine, run_id) for owner, run_id in started.items()}

    assert in_engine(tmp_path, main) == [{"ann": "of ann", "bob": "of bob", "": "of bob"}]


def test_listen_that_wants_every_event_keeps_what_comes_before_it(tmp_path: Path) -> None:
    async def main(engine: Engine) -> Any:
        await save(
            engine, "hear", "do: [{w: {wait: PT30S}}, {l: {listen: {to: {any: [], until: '${ .[2] != null }'}}}}]"
        )
        run_id = await started(engine, "hear")
        for id in "123":
            await engine.send_event(event(id, f"type-{id}", data=id))
        return await output(engine, run_id)

    assert in_engine(tmp_path, main) == [["1", "2", "3"]]
