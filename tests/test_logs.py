"""Log lines: one format for everybody, on stderr, without secrets."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import stepwell
from stepwell.logs import set_up_logging
from stepwell.settings import LogFormat, Settings

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail() -> None:
    raise ValueError(f"cannot read {TOKEN}")


@pytest.mark.parametrize("format", ["text", "json"])
def test_secrets_are_hidden_wherever_they_stand(format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", format)
    log = structlog.get_logger()
    log.info("request.failed", path="/api/v1/workflow-callbacks/run.mac", authorization="Basic abc", n=7)
    log.info("calling", url=f"https://ann:open-sesame@a.example/?token={TOKEN}")
    logging.getLogger("some.library").warning("retrying with %s", f"Bearer {TOKEN}")
    try:
        fail()
    except ValueError:
        log.exception("step.failed")
        logging.getLogger("some.library").exception("it failed")

    said = capsys.readouterr().err

    for secret in ("run.mac", "Basic abc", "open-sesame", TOKEN):
        assert secret not in said
    assert said.count("ValueError: cannot read ***") == 2
    assert "/api/v1/workflow-callbacks/***" in said
    if format == "json":
        assert json.loads(said.splitlines()[0])["n"] == 7


async def test_lines_of_a_step_name_its_run_and_attempt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    app = stepwell.App(settings=Settings(db=f"sqlite:///{tmp_path}/logged.db"))
    log = structlog.get_logger()

    async def in_a_coroutine(_: stepwell.StepContext) -> None:
        log.info("in a coroutine")

    @app.function(retry=stepwell.RetryPolicy(max_attempts=2, initial_s=0))
    def in_a_thread(ctx: stepwell.StepContext) -> None:
        logging.getLogger("shop").warning("in a thread")
        if ctx.attempt == 1:
            raise ValueError

    @app.workflow
    async def logged(ctx: stepwell.RunContext, _: object) -> None:
        log.info("before")
        await ctx.step("first", in_a_coroutine)
        log.info("between", run_id="another one")
        function = app.functions.find("in_a_thread")
        assert function is not None
        await ctx.step("second", function.work(), retry=function.retry)

    async with app:
        run_id = (await app.engine.run("logged")).run_id
        log.info("afterwards")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    ours = ("before", "in a coroutine", "between", "in a thread", "afterwards")
    found = [
        (line["event"], line.get("run_id"), line.get("step"), line.get("attempt"))
        for line in lines
        if line["event"] in ours
    ]
    assert found == [
        ("before", run_id, None, None),
        ("in a coroutine", run_id, "first", 1),
        ("between", "another one", None, None),
        ("in a thread", run_id, "second", 1),
        ("in a thread", run_id, "second", 2),
        ("afterwards", None, None, None),
    ]
