"""A way to the test server that can be cut: it then passes nothing on and says nothing, as a network does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit


class Wire:
    """Carries bytes between a port on loopback and the server's socket. `url`: the same database, by this way;
    `connections`: how many were made.
    """

    def __init__(self, url: str) -> None:
        self.url = ""
        self.connections = 0
        self._parts = urlsplit(url)
        self._whole = asyncio.Event()
        self._whole.set()
        self._last = b""
        self._pumps: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        self._whole.clear()

    def cut_after(self, last: bytes) -> None:
        """Once something that holds these bytes has passed."""
        self._last = last

    def mend(self) -> None:
        """What was on its way arrives now."""
        self._whole.set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator["Wire"]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}{self._parts.path}"
        try:
            yield self
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections += 1
        folder = parse_qs(self._parts.query)["host"][0]
        far, forth = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        for source, sink in ((near, forth), (far, back)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            try:
                while data := await source.read(65_536):
                    await self._whole.wait()
                    sink.write(data)
                    if self._last and self._last in data:
                        self.cut()
                    await sink.drain()
                await self._whole.wait()
            finally:
                sink.close()
