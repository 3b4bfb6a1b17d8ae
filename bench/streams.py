"""Open streams: `python -m bench.streams [--streams N] [--seconds S]`.

10,000 runs, each watched by a stream of its own, publish 1,000 items a second together; meanwhile 1,000 streams,
chosen at random, are cut off and come back with `Last-Event-ID`. The figures: memory of the server per stream, delay
from an item to its reader, and whether a reader missed an item or had one twice. Server and readers are processes of
their own; both look at one clock.
"""

import argparse
import asyncio
import gc
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import httptools
import msgspec
import uvloop

from bench import report
from bench.gauge import machine, percentile
from bench.serving import Served, serving, stepwell_on
from stepwell.engine.ids import workflow_uuid

ITEMS_PER_S: Final = 1_000
CUTS_PER_STREAM: Final = 0.1
GOAL_BYTES: Final = 50_000
GOAL_P99_MS: Final = 250.0
SPARE_FILES: Final = 200
AT_ONCE: Final = 100
RESULTS: Final = Path(__file__).parent / "results"
RUNS: Final = "/api/v1/workflow-runs"


class NotEnoughFilesError(Exception):
    """The system lets a process open fewer files than there are streams."""


def need_files(number: int) -> None:
    """Raise this process's limit of open files (and that of the server it starts) to what is needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise NotEnoughFilesError(f"{number} streams need {wanted} open files, the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


class Exchange(asyncio.Protocol):
    """One request, and its answer as it comes."""

    def __init__(self, request: bytes, take: Callable[[bytes], None]) -> None:
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self.take = take
        self.begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        self.begun.set_result(self._parser.get_status_code())

    def on_body(self, data: bytes) -> None:
        self.take(data)

    def on_message_complete(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(AssertionError(f"the server closed a connection: {error}"))
        if not self.ended.done():
            self.ended.set_result(None)


async def ask(port: int, request: bytes, take: Callable[[bytes], None]) -> Exchange:
    """Send a request; on return the answer has begun."""
    loop = asyncio.get_running_loop()
    _, exchange = await loop.create_connection(lambda: Exchange(request, take), "127.0.0.1", port)
    await exchange.begun
    return exchange


class Reader:
    """The reader of one run: what it has seen of the items, and what was wrong with it."""

    def __init__(self, port: int, run_id: str, delays_s: list[float]) -> None:
        self._port = port
        self._run_id = run_id
        self._delays_s = delays_s
        self._rest = b""
        self._last_id = ""
        self.seen = 0
        self.missed = 0
        self.twice = 0
        self.result: Any = None
        self._exchange: Exchange | None = None

    async def connect(self) -> None:
        """Open the stream, behind what was seen."""
        back = f"last-event-id: {self._last_id}\r\n" if self._last_id else ""
        head = f"GET {RUNS}/{self._run_id}/stream HTTP/1.1\r\nhost: localhost\r\n{back}\r\n"
        self._rest = b""
        self._exchange = await ask(self._port, head.encode(), self._take)
        assert self._exchange.begun.result() == 200, self._exchange.begun.result()

    async def cut(self) -> None:
        """Break off, and come back."""
        assert self._exchange is not None
        self._exchange.take = _ignore  # what is under way is lost, as on a broken line
        self._exchange.transport.abort()
        await self.connect()

    async def end(self) -> None:
        assert self._exchange is not None
        await self._exchange.ended
        self._exchange.transport.abort()

    def _take(self, data: bytes) -> None:
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if b"id" in fields:
                self._last_id = fields[b"id"].decode()
            match fields.get(b"event"):
                case b"thinking":
                    self._think(msgspec.json.decode(fields[b"data"]))
                case b"result":
                    self.result = msgspec.json.decode(fields[b"data"])

    def _think(self, data: dict[str, Any]) -> None:
        self._delays_s.append(time.monotonic() - float(data["content"]))
        number = data["seq"]
        self.missed += max(0, number - self.seen - 1)
        self.twice += number <= self.seen
        self.seen = max(self.seen, number)


def _ignore(_data: bytes) -> None:
    """What comes behind a break."""


async def start(port: int, workflow_id: str, inputs: dict[str, Any]) -> str:
    """The id of a new run."""
    body = json.dumps({"workflowId": workflow_id, "inputs": inputs}).encode()
    head = (
        f"POST {RUNS}/execute HTTP/1.1\r\nhost: localhost\r\nprefer: respond-async\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    parts: list[bytes] = []
    exchange = await ask(port, head.encode() + body, parts.append)
    await exchange.ended
    assert exchange.begun.result() == 202, b"".join(parts)
    return str(msgspec.json.decode(b"".join(parts))["workflowRun"]["id"])


async def in_turns(work: list[Any], at_once: int) -> list[Any]:
    """The results of coroutine functions, of which so many are at work at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(make: Any) -> Any:
        async with gate:
            return await make()

    return await asyncio.gather(*(one(make) for make in work))


async def cut_at_random(readers: list[Reader], number: int, seconds: float) -> None:
    """Cut off that many streams, evenly over that time."""
    chance = random.Random(11)
    for _ in range(number):
        await chance.choice([reader for reader in readers if reader.result is None]).cut()
        await asyncio.sleep(seconds / number)


async def measure(server: Served, streams: int, seconds: float, opening_s: float) -> dict[str, Any]:
    """Runs begin to talk when all streams are open, and each talks every `streams / ITEMS_PER_S` seconds."""
    every_s = streams / ITEMS_PER_S
    items = max(1, round(seconds / every_s))
    began = time.monotonic()
    delays_s: list[float] = []
    workflow_id = workflow_uuid("talk")

    def starting(number: int) -> Any:
        inputs = {"at": began + opening_s + every_s * number / streams, "every_s": every_s, "items": items}
        return lambda: start(server.port, workflow_id, inputs)

    run_ids = await in_turns([starting(number) for number in range(streams)], AT_ONCE)
    started_s = time.monotonic() - began
    await asyncio.sleep(1)
    rss_before, cpu_s, opening = server.rss_bytes, server.cpu_s, time.monotonic()
    readers = [Reader(server.port, run_id, delays_s) for run_id in run_ids]
    await in_turns([reader.connect for reader in readers], AT_ONCE)
    opened_s, open_cpu_s = time.monotonic() - opening, server.cpu_s - cpu_s
    await asyncio.sleep(1)
    rss_after = server.rss_bytes
    gc.collect()
    gc.disable()  # a pause of the readers is no delay of the server
    left_s = began + opening_s - time.monotonic()
    assert left_s > 0, f"opening {streams} streams took {-left_s:.0f} s too long: the runs talked before"
    await asyncio.sleep(left_s)
    cpu_s, talking = server.cpu_s, time.monotonic()
    cuts = round(CUTS_PER_STREAM * streams)
    await cut_at_random(readers, cuts, 0.9 * items * every_s)
    await asyncio.gather(*(reader.end() for reader in readers))
    took_s = time.monotonic() - talking
    assert all(reader.result["workflowRun"]["outputs"] == items for reader in readers), "a stream had no result"
    return {
        "streams": streams,
        "started_per_s": streams / started_s,
        "opened_per_s": streams / opened_s,
        "open_cpu_us": open_cpu_s / streams * 1e6,
        "bytes_per_stream": (rss_after - rss_before) / streams,
        "server_rss_bytes": rss_after,
        "items": len(delays_s),
        "items_per_s": len(delays_s) / took_s,
        "delay_p50_ms": percentile(delays_s, 50) * 1e3,
        "delay_p99_ms": percentile(delays_s, 99) * 1e3,
        "delay_max_ms": max(delays_s) * 1e3,
        "cuts": cuts,
        "items_missed": sum(reader.missed + items - reader.seen for reader in readers),
        "items_twice": sum(reader.twice for reader in readers),
        "server_cpus": (server.cpu_s - cpu_s) / took_s,
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure many open streams.")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the runs publish")
    parser.add_argument("--opening", type=float, default=180.0, help="how long to start and open them all may take")
    options = parser.parse_args()
    need_files(options.streams)
    with (
        tempfile.TemporaryDirectory(prefix="stepwell-bench-") as scratch,
        serving(*stepwell_on(Path(scratch) / "streams.db")) as server,
    ):
        figures = uvloop.run(measure(server, options.streams, options.seconds, options.opening))
    figures |= {"command": " ".join(["python -m bench.streams", *sys.argv[1:]]), **machine()}
    title = f"Open streams; goals: {GOAL_BYTES:,} bytes a stream, p99 {GOAL_P99_MS:.0f} ms, nothing missed or twice"
    report.show(title, figures)
    print(report.save(RESULTS, figures, kind="streams" if options.streams >= 10_000 else "streams-partial"))


if __name__ == "__main__":
    main()
