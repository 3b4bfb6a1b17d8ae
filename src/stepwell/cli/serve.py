"""`stepwell serve`: the server, until it is told to stop."""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Annotated, Any, Final

import msgspec
import uvicorn
from cyclopts import Parameter

from stepwell.app import App
from stepwell.cli.opening import hosted_app
from stepwell.cli.options import HERE, AppName, Where
from stepwell.cli.watchdog import Watchdog
from stepwell.core.errors import StepwellError
from stepwell.doors.hosts import is_loopback
from stepwell.security.limits.protocol import BoundedHeaders
from stepwell.settings import Settings, SettingsError
from stepwell.tuning import tune_interpreter

MOST_FILES: Final = 65_536
"""Open files that we ask for; what else runs on the machine needs some too."""
UVICORN: Final[Mapping[str, Any]] = {
    "http": BoundedHeaders,
    "proxy_headers": False,  # who the peer is decides who is let in: no header may say so
    "log_config": None,
    "access_log": False,
    "server_header": False,
    # Longer than clients and balancers keep a connection: who sends a request while it is closed hears nothing.
    "timeout_keep_alive": 75,
}


class CannotListenError(StepwellError):
    """The address is taken, or not this machine's."""


class Server(uvicorn.Server):
    """uvicorn that ends quietly: by itself it dies of the signal it was stopped with, which looks like a crash.

    `end_streams` is called when it begins to stop: streams would keep it open until they are cut off.
    """

    def __init__(self, config: uvicorn.Config, *, end_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            _announce(listener)  # not before: whoever reads the line may stop the server at once

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end_streams()
        await super().shutdown(sockets)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 takes a free one.")] = None,
    app: AppName = None,
    flows: Annotated[str | None, Parameter(help="Flow document, or folder of them, to load.")] = None,
    where: Where = HERE,
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    loaded = where.settings(host=host, port=port, app=app, flows=flows)
    hosted, settings = hosted_app(loaded, drive=True)
    with listening(settings) as listener, asyncio.Runner(loop_factory=loop_factory()) as runner:
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])  # callback addresses name it
        hosted.configure(settings, drive=True)
        if settings.flows:
            hosted.load(settings.flows)
        runner.run(serve_until_stopped(hosted, settings, listener))


async def refuse_strangers(app: App, host: str) -> None:
    """Without tokens or an API key only this machine may call. Raises `SettingsError`."""
    if not is_loopback(host) and not await app.knows_callers():
        raise SettingsError(
            f"--host {host}: everybody who reaches this address could run workflows: "
            "make an API key first (stepwell keys create), or set up tokens (jwt_issuer), or listen on 127.0.0.1"
        )


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket: made here, so that a taken port is known before anything else happens."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as fault:
        reason = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else fault.strerror
        raise CannotListenError(
            f"cannot listen on {settings.host} port {settings.port} ({reason}): {_way_out(fault)}"
        ) from None
    with listener:
        yield listener


def _way_out(fault: OSError) -> str:
    match fault.errno:
        case errno.EADDRINUSE:
            return "end the program that does, or choose another with --port"
        case errno.EACCES:
            return "choose a port above 1023 with --port"
    return "choose an address of this machine with --host"


async def serve_until_stopped(app: App, settings: Settings, listener: socket.socket) -> None:
    """Open the engine, answer requests until a signal, close everything."""
    async with app:  # before uvicorn starts: its lifespan would print a traceback when the database cannot be opened
        await refuse_strangers(app, settings.host)
        config = uvicorn.Config(
            app.asgi(),
            **UVICORN,
            ws_per_message_deflate=False,  # the console's messages are small and many: packing them costs more
            timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
        )
        tune_interpreter()
        _allow_files()
        with ExitStack() as stack:
            if settings.watchdog_s and app.engine.store.shared:
                stack.enter_context(Watchdog(settings.watchdog_s))
            await Server(config, end_streams=app.engine.watchers.close).serve(sockets=[listener])


def _announce(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    print(f"stepwell serves http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)


def _allow_files() -> None:
    """Every open stream is a file: take what the system lets us have (often 1,024 without asking)."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop's event loop, where there is one."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.Loop
