"""An application behind uvicorn on a socket of its own, in the loop of the test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from stepwell.cli.serve import Server


class UndisturbedServer(Server):
    """For a loop that is not of the main thread, where signals do not come."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(
    app: Starlette,
    *,
    end_streams: Callable[[], None] = lambda: None,
    server_type: type[Server] = Server,
    **options: Any,
) -> AsyncIterator[str]:
    """Its URL; stopped as a signal stops it, which must not take until streams are cut off. `options`: uvicorn's."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        # asyncio sets TCP_NODELAY for sockets that say they are TCP; without it an answer takes 40 ms (delayed ACK)
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        options = {"log_config": None, "access_log": False, "lifespan": "on", "proxy_headers": False, **options}
        config = uvicorn.Config(app, timeout_graceful_shutdown=30, **options)
        server = server_type(config, end_streams=end_streams)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.wait({serving}, timeout=0.01)
            if serving.done():
                await serving
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            async with asyncio.timeout(10):
                await serving
