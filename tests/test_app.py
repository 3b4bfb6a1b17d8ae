"""`stepwell.App` inside a program of its own: registering, opening, running, closing."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.app import NotOpenError
from stepwell.core.errors import StepwellError, StorageError, WorkflowNotFoundError
from stepwell.core.status import Status
from stepwell.documents import DocumentError, InvalidDocumentsError
from stepwell.settings import Settings, SettingsError

GREET = """
document: {dsl: '1.0.0', namespace: test, name: greet, version: '1.0.0'}
do:
- greet: {call: greet, with: {name: '${ .name }'}}
"""


SUM = "- sum: {set: {sum: '${ [.items[] * 2] | add }'}}"


@pytest.fixture
def db(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/app.db"


@pytest.fixture
def app(db: str) -> stepwell.App:
    return stepwell.App(db=db)


async def double(ctx: stepwell.RunContext, input: Any) -> Any:
    async def work(_step: stepwell.StepContext) -> Any:
        return input * 2

    return await ctx.step("double", work)


async def test_flow_with_a_function(app: stepwell.App, tmp_path: Path) -> None:
    (tmp_path / "greet.yaml").write_text(GREET)
    app.load(tmp_path / "greet.yaml")

    @app.function
    def greet(name: str) -> str:
        return f"hello {name}"

    async with app:
        result = await app.engine.run("greet", {"name": "ann"})

    assert (result.status, result.output) == (Status.COMPLETED, "hello ann")


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(), "http://127.0.0.1:8082"),
        (Settings(host="::1", port=9000), "http://[::1]:9000"),
        (Settings(public_url="https://flows.example/"), "https://flows.example"),
    ],
)
def test_addresses_that_are_handed_out_begin_with(settings: Settings, url: str) -> None:
    assert stepwell.App(settings=settings).parts.base_url == url


async def test_depth_is_a_setting(db: str, tmp_path: Path) -> None:
    (tmp_path / "self.yaml").write_text(
        "document: {dsl: '1.0.0', namespace: test, name: self, version: '1.0.0'}\n"
        "do: [{again: {run: {workflow: {namespace: test, name: self}}}}]"
    )
    app = stepwell.App(db=db, settings=Settings(max_depth=2))
    app.load(tmp_path)

    async with app:
        result = await app.engine.run("self")
        runs = await app.engine.list_runs()

    assert "at most 2 workflows (max_depth)" in str(result.error)
    assert len(runs) == 4


async def test_functions_retry_and_get_a_context(app: stepwell.App, tmp_path: Path) -> None:
    (tmp_path / "greet.yaml").write_text(GREET)
    app.load(tmp_path)
    seen: list[tuple[int, str]] = []

    @app.function(retry=stepwell.RetryPolicy(max_attempts=3, initial_s=0.01), timeout_s=5)
    async def greet(ctx: stepwell.StepContext, name: str) -> str:
        seen.append((ctx.attempt, ctx.idempotency_key))
        if ctx.attempt < 3:
            raise ConnectionError("not yet")
        return name

    async with app:
        result = await app.engine.run("greet", {"name": "bob"})

    assert result.output == "bob"
    assert [attempt for attempt, _ in seen] == [1, 2, 3]
    assert len({key for _, key in seen}) == 1


async def test_python_workflows(app: stepwell.App) -> None:
    app.add_workflow("double", double)

    @app.workflow(name="quadruple")
    async def twice(ctx: stepwell.RunContext, input: Any) -> Any:
        return await ctx.child("child", "double", await ctx.child("first", "double", input))

    async with app:
        assert (await app.engine.run("quadruple", 3)).output == 12


async def test_runs_go_on_in_the_next_process(db: str) -> None:
    async def ask(ctx: stepwell.RunContext, _input: Any) -> Any:
        signal = await ctx.wait("wait", "go")
        assert signal is not None
        return signal.data

    first, second = stepwell.App(db=db), stepwell.App(db=db)
    first.add_workflow("ask", ask)
    second.add_workflow("ask", ask)
    async with first:
        run_id = (await first.engine.start("ask")).run_id
    async with second:
        await second.engine.signal(run_id, "go", {"n": 1})
        assert (await second.engine.result(run_id, timeout_s=10)).output == {"n": 1}


async def test_app_that_does_not_drive_commands_beside_one_that_does(app: stepwell.App, db: str) -> None:
    @app.workflow
    async def ask(ctx: stepwell.RunContext, _input: Any) -> Any:
        return (await ctx.wait("wait", "go")) is not None

    async with app, stepwell.App(db=db, drive=False) as beside:
        run_id = (await app.engine.start("ask")).run_id
        result = asyncio.create_task(app.engine.result(run_id, timeout_s=10))
        await beside.engine.signal(run_id, "go")
        assert (await result).output is True


async def test_only_one_app_drives_a_file(app: stepwell.App, db: str) -> None:
    async with app:
        with pytest.raises(StorageError, match="is driven by another process"):
            await stepwell.App(db=db).open()

    async with stepwell.App(db=db):
        pass


async def test_app_can_be_opened_again_after_a_fault(app: stepwell.App, tmp_path: Path) -> None:
    (tmp_path / "greet.yaml").write_text(GREET)
    app.load(tmp_path)
    with pytest.raises(InvalidDocumentsError) as refused:
        await app.open()
    assert str(refused.value).startswith(f"{tmp_path}/greet.yaml:4: /do/0/greet/call: ")

    app.function(name="greet")(lambda name: name)

    async with app:
        assert (await app.engine.run("greet", {"name": "ann"})).output == "ann"


async def test_settings_that_are_wrong_leave_no_lock_behind(app: stepwell.App, db: str) -> None:
    app.configure(Settings(db=db, otel_endpoint="http://127.0.0.1:9/v1/traces"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "stepwell.tracing", None)  # as where the extra is not installed
        with pytest.raises(SettingsError, match="extra otel"):
            await app.open()
    app.configure(Settings(db=db))
    async with app:
        pass


async def test_open_that_fails_leaves_nothing_running(
    app: stepwell.App, db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: object) -> bytes:
        raise StorageError("not writable")

    async with app:
        beside = stepwell.App(db=db, drive=False)
        before = asyncio.all_tasks()
        monkeypatch.setattr("stepwell.app._token_key", fails)
        with pytest.raises(StorageError, match="not writable"):
            await beside.open()
        assert asyncio.all_tasks() == before
        monkeypatch.undo()
        async with beside:
            pass


def test_engine_needs_an_open_app(app: stepwell.App) -> None:
    with pytest.raises(NotOpenError, match="use its engine inside `async with app:`"):
        _ = app.engine


async def test_app_is_opened_once(app: stepwell.App) -> None:
    async with app:
        with pytest.raises(StepwellError, match="open already"):
            await app.open()


async def test_unknown_workflow(app: stepwell.App) -> None:
    async with app:
        with pytest.raises(WorkflowNotFoundError):
            await app.engine.start("none")


def test_what_cannot_be_registered(app: stepwell.App, tmp_path: Path) -> None:
    app.add_workflow("double", double)

    with pytest.raises(StepwellError, match="under which a workflow is registered"):
        app.add_workflow("double", double)
    with pytest.raises(StepwellError, match=r"expected `async def program\(ctx, input\)`, found builtin"):
        app.add_workflow("sync", print)  # type: ignore[arg-type]  # what the test is about
    with pytest.raises(DocumentError, match="does not exist"):
        app.load(tmp_path / "none.yaml")


async def test_two_documents_of_one_name_and_version(app: stepwell.App, tmp_path: Path) -> None:
    app.function(name="greet")(lambda name: name)
    (tmp_path / "one.yaml").write_text(GREET)
    (tmp_path / "same.yaml").write_text(GREET)
    (tmp_path / "two.yaml").write_text(GREET.replace(".name }", ".other }"))
    app.load(tmp_path)

    with pytest.raises(InvalidDocumentsError) as refused:
        await app.open()

    assert [fault.file for fault in refused.value.faults] == [f"{tmp_path}/two.yaml"]


async def test_one_name_in_two_namespaces_is_no_two_versions_of_a_workflow(app: stepwell.App, tmp_path: Path) -> None:
    app.function(name="greet")(lambda name: name)
    (tmp_path / "one.yaml").write_text(GREET)
    (tmp_path / "two.yaml").write_text(GREET.replace("test", "other").replace("version: '1", "version: '2"))
    app.load(tmp_path)

    with pytest.raises(InvalidDocumentsError, match=r"two\.yaml:1: /document/namespace: expected another name"):
        await app.open()


async def test_expressions_are_jq_also_when_opened_again(app: stepwell.App, tmp_path: Path) -> None:
    (tmp_path / "sum.yaml").write_text(GREET.replace("- greet: {call: greet, with: {name: '${ .name }'}}", SUM))
    app.load(tmp_path / "sum.yaml")

    for _ in range(2):
        async with app:
            assert (await app.engine.run("greet", {"items": [1, 2, 3]})).output == {"sum": 12}


async def test_nothing_can_be_registered_while_the_app_is_open(app: stepwell.App, tmp_path: Path) -> None:
    (tmp_path / "greet.yaml").write_text(GREET)
    async with app:
        with pytest.raises(StepwellError, match="the app is open: the workflow 'double' can be registered before"):
            app.workflow(double)
        with pytest.raises(StepwellError, match=r"the app is open: .*greet\.yaml can be loaded before"):
            app.load(tmp_path / "greet.yaml")
    app.workflow(double)


async def test_event_sent_beside_a_server_is_taken_at_once(db: str) -> None:
    """Not with the outbox's next look after a second."""
    async with stepwell.App(db=db) as server, stepwell.App(db=db, drive=False) as beside:
        took = []
        for number in range(3):
            await asyncio.sleep(0.3)
            at = asyncio.get_running_loop().time()
            await beside.engine.send_event(
                {"specversion": "1.0", "id": f"e{number}", "source": "/test", "type": "shop.ordered"}
            )
            while await server.engine.store.take_outbox(4e9, 10):  # noqa: ASYNC110  nothing tells of an empty outbox
                await asyncio.sleep(0.01)
            took.append(asyncio.get_running_loop().time() - at)
        assert max(took) < 0.5, took
