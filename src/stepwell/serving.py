"""The server of an app: every door, the guards before them, and the console.

Imported when a server is wanted: a program of its own needs none (0.2 s).
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from stepwell.console import DOOR, Console
from stepwell.console.desk import Desk
from stepwell.databases import bytes_of, file_of
from stepwell.doors import agents, devset, events, llama, operations, remote, runs
from stepwell.doors.access import access_rules, public_origin, token_verifier
from stepwell.doors.guards import guards
from stepwell.doors.server import build
from stepwell.engine import Engine
from stepwell.security.authentication import Authenticator
from stepwell.security.keys import ApiKeys, FirstKey
from stepwell.security.masking import mask_access_log
from stepwell.settings import SettingsError, masked
from stepwell.store.model import Record

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from stepwell.app import App
    from stepwell.doors.kit import Api


class Serving:
    """Doors on one app, which is opened with the server and closed with it, unless it is open already."""

    def __init__(self, app: "App") -> None:
        self._app = app
        settings = app.settings
        self._new_authenticator = partial(Authenticator, access_rules(settings), tokens=token_verifier(settings))
        self._console = self._new_console()
        self._authenticator: Authenticator

    def server(self) -> "Starlette":
        app, settings = self._app, self._app.settings
        doors: list[Api] = [agents.api, runs.api, devset.api, *llama.apis, events.api, operations.api, remote.api]
        middleware = guards(
            settings,
            doors=[*(door.door for door in doors), DOOR],
            authenticator=lambda: self._authenticator,
            clock=app.clock.now,
        )
        tracing = app.parts.tracing
        if tracing is not None:
            middleware.insert(0, tracing.middleware())
        mask_access_log()
        routes = self._console.routes if self._console is not None else ()
        self._server = build(routes, opening=self._opened, middleware=middleware, doors=doors)
        return self._server

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Engine]:
        """The engine; opened and closed here, unless it is open already."""
        async with AsyncExitStack() as opened:
            if not self._app.is_open:
                await opened.enter_async_context(self._app)
            self._let_in(self._app.engine)
            self._hand_out()
            if self._console is not None:
                opened.push_async_callback(self._console.close)
            yield self._app.engine

    def _hand_out(self) -> None:
        """What handlers find in the server's state beside the engine."""
        app, settings, state = self._app, self._app.settings, self._server.state
        state.database = masked(settings.db)
        state.files = app.files
        state.expressions = app.parts.expressions
        state.execute_wait_s = settings.execute_wait_s
        state.execute_keep_alive_s = settings.execute_keep_alive_s
        state.max_executions = settings.max_executions_per_run
        state.brokers = app.parts.brokers
        state.connections = app.parts.connections

    def _let_in(self, engine: Engine) -> None:
        """Who may come in: anybody of this machine until there are tokens or an API key, then who has one."""
        keys = ApiKeys(engine.store, row=Record)
        self._authenticator = self._new_authenticator(keys=keys, has_keys=FirstKey(keys.exist).made)

    def _new_console(self) -> Console | None:
        """The console, where it is wanted and its library is installed. Raises `SettingsError`."""
        app, settings = self._app, self._app.settings
        installed = find_spec("nicegui") is not None
        if settings.console and not installed:
            raise SettingsError("console is set, and its library is not installed: pip install 'stepwell[console]'")
        if settings.console is False or not installed:
            return None

        def desk() -> Desk:
            return Desk(
                engine=app.engine,
                authenticate=lambda call: self._authenticator.authenticate(call, DOOR.rules, app.clock.now()),
                kinds=app.parts.kinds,
                expressions=app.parts.expressions,
                database=masked(settings.db),
                storage_bytes=partial(bytes_of, file_of(app.parts.store)),
            )

        secure = public_origin(settings).startswith("https:")
        return Console(desk, cookie=settings.auth_cookie, secure=secure)
