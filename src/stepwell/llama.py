"""`WorkflowServer`: what stands in for the server of LlamaIndex workflows, in programs that host their own.

    from stepwell.llama import WorkflowServer

    server = WorkflowServer()
    server.add_workflow("greet", Greet())
    asyncio.run(server.serve("127.0.0.1", 8080))

Workflows run unmodified, but durably: in a database of Stepwell's own, `db` or the setting. The server has every
other API of Stepwell too. What the original was handed to keep runs with (`workflow_store`, `runtime`, ...) is taken
and not used: a warning says so.
"""

import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from stepwell.app import App
from stepwell.cli.serve import UVICORN, Server, listening, refuse_strangers

if TYPE_CHECKING:
    from workflows import Workflow
    from workflows.events import Event

__all__ = ["WorkflowServer"]


class WorkflowServer:
    """Hosts workflow objects by name.

    `middleware` stands before Stepwell's own, in the order given. `idle_timeout`: after how many seconds a run that
    only waits leaves memory. `db` is the URL of the database; without it the setting counts.
    """

    def __init__(
        self,
        *,
        middleware: Sequence[Middleware] | None = None,
        idle_timeout: float | None = None,
        db: str | None = None,
        **originals: Any,
    ) -> None:
        self.stepwell = App(db=db)
        """Everything else of Stepwell: flows, functions, settings."""
        self._middleware = tuple(middleware or ())
        self._idle_s = idle_timeout
        self._started: AsyncExitStack | None = None
        _check_originals(originals)

    def add_workflow(
        self, name: str, workflow: "Workflow", additional_events: "Sequence[type[Event]] | None" = None
    ) -> None:
        """Host a workflow under a name; `additional_events` are classes that no step names but clients may post.

        Raises `StepwellError` when the name is taken, or the server has started.
        """
        self.stepwell.add_workflow(name, workflow, additional_events=additional_events or ())

    @cached_property
    def app(self) -> Starlette:
        """The ASGI application. Its lifespan starts and stops the server, unless that is done otherwise."""
        if self._idle_s is not None and self._started is None:
            settings = msgspec.structs.replace(self.stepwell.settings, idle_s=self._idle_s)
            self.stepwell.configure(settings)
        server = self.stepwell.asgi()
        for middleware in reversed(self._middleware):
            server.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)
        return server

    async def start(self) -> Self:
        """Open the database and take up every run that has not ended."""
        if self._started is None:
            async with AsyncExitStack() as opening:
                await opening.enter_async_context(self.app.router.lifespan_context(self.app))
                self._started = opening.pop_all()
        return self

    async def stop(self) -> None:
        """Give the steps in flight a moment, then let go of everything. Runs go on with the next start."""
        started, self._started = self._started, None
        if started is not None:
            await started.aclose()

    @asynccontextmanager
    async def contextmanager(self) -> AsyncIterator[Self]:
        """Started inside, stopped after."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def serve(
        self, host: str = "localhost", port: int = 80, uvicorn_config: Mapping[str, Any] | None = None
    ) -> None:
        """Serve until SIGTERM or Ctrl-C. Raises `SettingsError` for an address that strangers could reach."""
        settings = msgspec.structs.replace(self.stepwell.settings, host=host, port=port)
        with listening(settings) as listener:
            if self._started is None:
                settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
                self.stepwell.configure(settings)
                self.__dict__.pop("app", None)  # one that was made for another address
            async with self.contextmanager():
                await refuse_strangers(self.stepwell, host)
                config = uvicorn.Config(self.app, **{**UVICORN, **(uvicorn_config or {})}, lifespan="off")
                await Server(config, end_streams=self.stepwell.engine.watchers.close).serve(sockets=[listener])

    def openapi_schema(self) -> dict[str, Any]:
        """What the server understands, as OpenAPI."""
        document: dict[str, Any] = msgspec.json.decode(self.app.state.documents.one("llama"))
        return document


_NOT_USED = {
    "workflow_store": "runs are kept in Stepwell's database",
    "persistence_backoff": "what cannot be written yet is tried again by itself",
    "runtime": "Stepwell runs the workflows",
    "exception_handlers": "errors are worded as clients know them",
    "serializer": "events and state are kept as JSON",
    "sse_heartbeat_interval": "there is a heartbeat every 25 seconds of silence",
    "accept_context_api": "a context in JSON is always accepted",
}
"""What the original takes, and why it does not matter here."""


def _check_originals(given: Mapping[str, Any]) -> None:
    """Warn of what is not used. Raises `TypeError` for what the original does not know either."""
    for name in given:
        if name not in _NOT_USED:
            raise TypeError(f"WorkflowServer takes no {name!r}")
        warnings.warn(f"{name} is not used: {_NOT_USED[name]}", stacklevel=3)
