"""The floor of blocking execution: `python -m bench.floor_server SHAPE DATABASE` answers every POST when the records
of a run are on disk, behind Starlette and uvicorn like the server itself.

SHAPE is a file with the shape of a run's records (`bench.floor`). Requests that come while a group is written make
the next one. Nothing is read of a request, decided, or shown but that it is done.
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.floor import Floor, Shape
from stepwell.tuning import tune_interpreter

ANSWER: Final = b'{"success":true,"status":"completed"}'


class Writer:
    """Writes the runs of all who wait, one group after another."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._waiting: list[asyncio.Future[None]] = []

    async def write(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._write_all)
        done = loop.create_future()
        self._waiting.append(done)
        await done

    def _write_all(self) -> None:
        group, self._waiting = self._waiting, []
        self._floor.write(len(group))
        for done in group:
            if not done.done():
                done.set_result(None)


def main() -> None:
    shape, database = sys.argv[1:]
    writer = Writer(Floor(Path(database), msgspec.json.decode(Path(shape).read_bytes(), type=Shape)))

    async def execute(request: Request) -> Response:
        await request.body()
        await writer.write()
        return Response(ANSWER, media_type="application/json")

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"floor serves http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = Starlette(routes=[Route("/{path:path}", execute, methods=["POST"])])
    config = uvicorn.Config(app, http="httptools", log_config=None, access_log=False, server_header=False)
    tune_interpreter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
