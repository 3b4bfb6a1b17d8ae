"""Spans of runs and steps: made for whoever looks, and for nobody else."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.span import SimpleSpan
from llama_index_instrumentation.span_handlers import SimpleSpanHandler
from workflows import Workflow, step
from workflows.events import StartEvent, StopEvent

import stepwell
from stepwell.programs.code.spans import are_seen


class Sample(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.get("x"))


class Looker(SimpleSpanHandler):
    """Somebody who looks at spans."""

    def new_span(self, id_: str, bound_args: inspect.BoundArguments, *args: Any, **options: Any) -> SimpleSpan:
        seen.append(id_.partition("-")[0])
        return super().new_span(id_, bound_args, *args, **options)


seen: list[str] = []


@pytest.fixture
def looker() -> Iterator[None]:
    seen.clear()
    dispatcher = get_dispatcher()
    before = list(dispatcher.span_handlers)
    dispatcher.add_span_handler(Looker())
    yield
    dispatcher.span_handlers = before


async def run(folder: Path) -> Any:
    app = stepwell.App(db=f"sqlite:///{folder}/runs.db")
    app.add_workflow("sample", Sample())
    async with app:
        return (await app.engine.run("sample", {"x": 1}, timeout_s=30)).output


async def test_nobody_looks_unless_somebody_does(tmp_path: Path) -> None:
    assert not are_seen()
    assert await run(tmp_path) == 1


@pytest.mark.usefixtures("looker")
async def test_whoever_looks_sees_the_run_and_its_steps(tmp_path: Path) -> None:
    assert are_seen()
    assert await run(tmp_path) == 1
    assert seen == ["Sample.run", "Sample.only"]
