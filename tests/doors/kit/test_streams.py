"""Streams of server-sent events: framing, pings on time, positions to go on from, and an end of every kind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message as Sent

import stepwell
from engine.virtual_time import START, run_virtual
from stepwell.dispatch.local import LocalDispatch
from stepwell.doors.kit import (
    Answer,
    Api,
    Call,
    EventStream,
    InvalidRequestError,
    Message,
    Position,
    last_position,
    position_of,
    read_position,
)
from stepwell.doors.kit.streams import RETRY
from stepwell.doors.problem import PROBLEMS, ProblemBody
from stepwell.engine import Engine
from stepwell.programs.native import NativePrograms
from stepwell.store.sqlite import SqliteStore

from ..served import served
from .things import server_of

Messages = AsyncGenerator[Message, None]


class Client:
    """One that reads a stream, as a server sees it: `takes` is awaited for every chunk."""

    def __init__(self, takes: Callable[[], Awaitable[None]] | None = None, *, method: str = "GET") -> None:
        self.method = method
        self.chunks: list[tuple[float, bytes]] = []
        self.start: Sent = {}
        self.ended = False
        self.gone = asyncio.Event()
        self._takes = takes

    async def read(self, stream: EventStream) -> "Client":
        await stream({"type": "http", "method": self.method}, self._receive, self._send)
        return self

    async def _receive(self) -> Sent:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Sent) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        if self._takes is not None:
            await self._takes()
        self.chunks.append((asyncio.get_running_loop().time() - START, message["body"]))
        self.ended = not message["more_body"]

    @property
    def text(self) -> str:
        return b"".join(chunk for _, chunk in self.chunks).decode()


async def numbers(count: int, *, every_s: float = 0) -> Messages:
    for number in range(1, count + 1):
        await asyncio.sleep(every_s)
        yield Message(event="number", data=number, id=Position(number))


def test_messages_are_framed_and_the_stream_ends_with_them() -> None:
    client = run_virtual(Client().read(EventStream(numbers(2))))

    assert client.text == (
        f"{RETRY.decode()}"
        "event: number\nid: 1\ndata: 1\n\n"
        "event: number\nid: 2\ndata: 2\n\n"
    )  # fmt: skip
    assert client.ended


def test_headers_keep_proxies_from_holding_it_back() -> None:
    client = run_virtual(Client().read(EventStream(numbers(0), headers={"X-Run": "r"})))
    headers = dict(client.start["headers"])

    assert headers == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-cache, no-transform",
        b"x-accel-buffering": b"no",
        b"x-run": b"r",
    }


def test_head_gets_the_headers_alone() -> None:
    client = run_virtual(Client(method="HEAD").read(EventStream(numbers(5, every_s=1))))

    assert (client.start["status"], client.text, client.ended) == (200, "", True)


def test_line_breaks_stay_inside_the_data() -> None:
    assert Message(data="a\nb\r\nc").encoded() == b'data: "a\\nb\\r\\nc"\n\n'


def test_pings_come_on_time_whatever_else_is_sent() -> None:
    ping = Message(event="ping", data={"content": "ping"})
    stream = EventStream(numbers(7, every_s=4), ping=ping, ping_s=9)

    client = run_virtual(Client().read(stream))

    assert [round(at) for at, chunk in client.chunks if chunk == ping.encoded()] == [9, 18, 27]


def test_ping_is_a_comment_unless_the_door_has_one() -> None:
    client = run_virtual(Client().read(EventStream(numbers(1, every_s=10))))

    assert client.text.count(": ping\n\n") == 1


def test_nothing_is_taken_from_the_source_while_the_client_does_not_read() -> None:
    taken: list[int] = []

    async def source() -> Messages:
        for number in range(1000):
            taken.append(number)
            yield Message(data=number)

    async def main() -> int:
        reads = asyncio.Semaphore(5)
        client = Client(takes=lambda: _acquire(reads))
        reading = asyncio.create_task(client.read(EventStream(source())))
        await asyncio.sleep(100)
        client.gone.set()
        for _ in range(3):
            reads.release()
        await reading
        return len(taken)

    assert run_virtual(main()) <= 5 + 3


async def _acquire(reads: asyncio.Semaphore) -> None:
    await reads.acquire()


def test_source_is_closed_when_the_client_has_gone() -> None:
    closed: list[str] = []

    async def source() -> Messages:
        try:
            yield Message(data="first")
            await asyncio.Future()
        finally:
            closed.append("closed")

    async def main() -> Client:
        client = Client()
        reading = asyncio.create_task(client.read(EventStream(source())))
        await asyncio.sleep(1)
        client.gone.set()
        return await reading

    client = run_virtual(main())

    assert closed == ["closed"]
    assert not client.ended


def test_source_that_fails_ends_the_stream() -> None:
    async def source() -> Messages:
        yield Message(data=1)
        raise ZeroDivisionError

    client = run_virtual(Client().read(EventStream(source())))

    assert client.text.endswith("data: 1\n\n")
    assert client.ended


@pytest.mark.parametrize(("text", "position"), [("17", Position(17)), (" 17.3 ", Position(17, 3)), ("0", Position())])
def test_position_is_read_as_it_was_written(text: str, position: Position) -> None:
    assert read_position(text, "Last-Event-ID") == position
    assert read_position(str(position), "Last-Event-ID") == position


@pytest.mark.parametrize("text", ["", "x", "-1", "1.", "1.2.3", "9" * 16, "１"])
def test_other_positions_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"Last-Event-ID: expected a position like 17\.3"):
        read_position(text, "Last-Event-ID")


# --- on a run, over a socket ----------------------------------------------------------------------------------------


async def talks(ctx: stepwell.RunContext, _input: Any) -> None:
    for number in range(30):
        await ctx.publish(f"say@{number}", number)
        await ctx.record(f"note@{number}", number)
    await ctx.wait("end", "end")


async def run_messages(engine: Engine, run_id: str, after: Position) -> Messages:
    async for seen in engine.watch(run_id, after_seq=after.seq, after_item=after.item):
        yield Message(data=type(seen.event).__name__ if seen.item is None else seen.item.data, id=position_of(seen))


@asynccontextmanager
async def talking(path: Path) -> AsyncIterator[tuple[Engine, str, str]]:
    """An engine with a run that has talked and waits, and the URL of a server of its stream."""
    programs = NativePrograms()
    programs.add("talks", talks)
    engine = Engine(store=SqliteStore(str(path / "runs.db")), dispatch=LocalDispatch(), programs=[programs])
    api = Api("runs", title="Runs", prefixes=["/runs"], errors=PROBLEMS, error_type=ProblemBody)

    @api.get("/runs/{id}/stream", summary="Watch a run", answers={200: Answer(media_type="text/event-stream")})
    async def watch(call: Call) -> EventStream:
        return EventStream(run_messages(call.engine, call.path("id"), last_position(call.request)))

    async with served(server_of(api, engine), end_streams=engine.watchers.close) as url:
        await engine.save(kind="python", name="talks", version="", text="talks")
        run_id = (await engine.start("talks")).run_id
        yield engine, run_id, f"{url}/runs/{run_id}/stream"


async def read_messages(url: str, *, last: str = "", at_most: int = 1000) -> list[tuple[str, str]]:
    """(id, data) of the messages that come until the stream ends, or of the first `at_most`."""
    found: list[tuple[str, str]] = []
    headers = {"Last-Event-ID": last} if last else {}
    async with httpx.AsyncClient(timeout=20) as client, client.stream("GET", url, headers=headers) as answer:
        id = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                id = value
            elif name == "data":
                found.append((id, value))
                if len(found) == at_most:
                    break
    return found


async def test_client_that_comes_back_again_and_again_misses_nothing_and_sees_nothing_twice(tmp_path: Path) -> None:
    async with talking(tmp_path) as (engine, run_id, url):
        pieces: list[tuple[str, str]] = []
        for length in (1, 7, 2, 20, 1, 13):
            pieces += await read_messages(url, last=pieces[-1][0] if pieces else "", at_most=length)
        ending = asyncio.create_task(read_messages(url, last=pieces[-1][0]))
        await engine.signal(run_id, "end")
        pieces += await ending
        whole = await read_messages(url)

    assert pieces == whole
    assert [data for _, data in whole if data.isdigit()] == [str(number) for number in range(30)]
    assert whole[-1][1] == '"RunCompleted"'


async def test_stream_of_a_waiting_run_ends_when_the_server_stops(tmp_path: Path) -> None:
    async with talking(tmp_path) as (engine, _run_id, url):
        begun = asyncio.Event()

        async def read() -> bytes:
            async with httpx.AsyncClient(timeout=20) as client, client.stream("GET", url) as answer:
                text = b""
                async for chunk in answer.aiter_bytes():
                    text += chunk
                    begun.set()
                return text

        reading = asyncio.create_task(read())
        await begun.wait()
        watched = dict(engine.watchers.channels)
    text = await reading

    assert watched
    assert text.startswith(b"retry: 3000")
