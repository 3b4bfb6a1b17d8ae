"""Runs definitions as a user does: saved in an app's engine, started, waited for. The network is a stub."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpx
import msgspec

from engine.virtual_time import VirtualLoop, run_virtual
from stepwell import App
from stepwell.core.errors import Problem
from stepwell.core.status import Status
from stepwell.programs.callbacks import SecretTokens
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.http import HttpxClient
from stepwell.programs.jq import JqWorkers
from stepwell.programs.secrets import ServerSecrets
from stepwell.settings import Settings

from .servers import answer

SHARED = Path(__file__).parents[3] / "shared" / "serverless-workflow"
MISSING = "the standard's material (../shared/serverless-workflow) is not beside this folder"
END_WITHIN_S = 20.0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands: at its end, or where it waits for ever."""

    status: Status
    output: Any = None
    error: Problem | None = None
    steps: tuple[str, ...] = ()
    """The names of its steps, in the order of their start."""
    requests: tuple[httpx.Request, ...] = ()
    traced: tuple[str, ...] = ()
    """What its calls of `trace` were given, in the order of their start."""


class World:
    """One loop and its jq workers; an app for each run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._runner = asyncio.Runner()
        self._jq = JqWorkers()
        self._requests: list[httpx.Request] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._runner.run(self._jq.close())
        self._runner.close()

    def run(
        self,
        definition: str,
        input: Any = None,
        *,
        beside: Sequence[str] = (),
        events: Sequence[Mapping[str, Any]] = (),
        secrets: Mapping[str, Any] | None = None,
        forever: bool = False,
    ) -> Ended:
        """Run a definition to its end; with `forever` until it waits after having seen the events."""
        return self._runner.run(self._run(definition, input, (beside, events, secrets or {}, forever)))

    def run_virtually(self, definition: str, input: Any = None, **_options: Any) -> Ended:
        """As `run`, on virtual time and without jq, which is in processes that know of no virtual time."""
        ended: Ended = run_virtual(self._run(definition, input, ((), (), {}, False), virtual=True))
        return ended

    async def _run(self, definition: str, input: Any, options: Any, *, virtual: bool = False) -> Ended:
        beside, events, secrets, forever = options
        self._requests.clear()
        app = self.app(secrets, virtual=virtual)
        async with app:
            if virtual:
                app.engine.clock = cast(VirtualLoop, asyncio.get_running_loop())
            for text in [*beside, definition]:
                document = app.parts.flows.check(text).workflow.document
                await app.engine.save(kind="flow", name=document.name, version=document.version, text=text)
            run_id = (await app.engine.start(document.name, input, version=document.version)).run_id
            for number, event in enumerate(events):
                await app.engine.send_event({"id": f"event-{number}", "source": "http://test", **event})
            if forever:
                await self._waits(app, run_id)
            else:
                await app.engine.result(run_id, timeout_s=None if virtual else END_WITHIN_S)
            result = await app.engine.get(run_id)
            state = await app.engine.state(run_id)
        steps = tuple(step.name for step in state.steps.values())
        traced = tuple(msgspec.json.decode(step.output) for step in state.steps.values() if step.name == "trace")
        return Ended(
            status=result.status,
            output=result.output,
            error=result.error,
            steps=steps,
            requests=tuple(self._requests),
            traced=traced,
        )

    def app(self, secrets: Mapping[str, Any], *, virtual: bool = False) -> App:
        app = App(settings=Settings(db=f"sqlite:///{self._folder}/runs-{next(self._numbers)}.db", idle_s=0.1))

        @app.function
        async def trace(task: str) -> str:
            return task

        @app.function
        async def greet(name: str) -> str:
            return f"Hello, {name}!"

        client = HttpxClient(transport=httpx.MockTransport(self._answer))
        app.parts.flows = FlowPrograms(
            functions=app.functions,
            http=client,
            expressions=None if virtual else self._jq,
            secrets=ServerSecrets(secrets, environment={}),
            callbacks=SecretTokens(lambda: b"secret of a test"),
        )
        return app

    @staticmethod
    async def _waits(app: App, run_id: str) -> None:
        async with asyncio.timeout(END_WITHIN_S):
            while (await app.engine.get(run_id)).status is not Status.WAITING:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # nothing is said when a run is let go

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self._requests.append(request)
        return answer(request)
