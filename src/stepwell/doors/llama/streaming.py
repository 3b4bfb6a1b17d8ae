"""The events of a run, as they come: for any number of clients, each from where it stands, until the run has ended.

What is streamed is on record. A client that comes back with the number of the last event it has had (`Last-Event-ID`,
or `after_sequence`) misses nothing and sees nothing twice.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepwell.core.program import Compiled
from stepwell.core.state import State
from stepwell.core.status import TERMINAL, Status
from stepwell.core.typed import Envelope, TypedWorkflow
from stepwell.doors.kit import Answer, Api, Call, EventStream
from stepwell.doors.kit.streams import MEDIA_TYPE
from stepwell.doors.llama import envelopes
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.envelopes import Numbered, Place
from stepwell.doors.llama.errors import QueryError
from stepwell.doors.llama.handlers import Handlers
from stepwell.doors.llama.mapping import error_text, event_line, is_last
from stepwell.doors.llama.plain import ending_of
from stepwell.doors.llama.reading import envelope_of
from stepwell.doors.llama.wire import StreamQuery, is_true
from stepwell.engine import Engine
from stepwell.engine.hiding import hiding_of
from stepwell.engine.projections import ended_badly
from stepwell.engine.watching import Seen

LINES: Final = "application/x-ndjson"
PING_S: Final = 25.0
LAST_ID: Final = "Last-Event-ID"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An event on the wire; `number` is its id where it has one."""

    data: bytes
    sse: bool
    number: int | None = None

    def encoded(self) -> bytes:
        if not self.sse:
            return self.data + b"\n"
        id = b"" if self.number is None else b"id: %d\n" % self.number
        return b"%sdata: %s\n\n" % (id, self.data)


class _Heartbeat(msgspec.Struct, frozen=True):
    def encoded(self) -> bytes:
        return b": heartbeat\n\n"


def declare(api: Api, dialect: Dialect) -> None:
    """Declare the operation."""

    @api.get(
        f"{dialect.prefix}/events/{{handler_id}}",
        summary="Stream the events of a run",
        headers={LAST_ID: "the number of the last event that the client has had; wins over `after_sequence`"},
        answers={
            200: Answer(type=str, media_type=MEDIA_TYPE, meaning="events until the run has ended"),
            204: Answer(meaning="the run has ended, and there is nothing more"),
        },
        fails={400: "a number is none", 404: "there is no such handler"},
    )
    async def stream_events(call: Call, query: StreamQuery) -> Response:
        """Server-sent events, or lines of JSON. Every client sees all of them, however many read at once."""
        state = await Handlers(call.engine, call.principal).open(call.path("handler_id"), dialect)
        _check_timeout(query, dialect)
        sse = is_true(query.sse)
        log = await _Log.of(call.engine, state, internal=is_true(query.include_internal))
        place = await log.place(_cursor(call.request, query, dialect, sse=sse))
        events = log.events(place)
        if state.status in TERMINAL:  # all that will ever be there is there
            rest = await _unless_empty(events)
            if rest is None:
                return Response(None, 204)
            events = rest
        lines = _lines(events, dialect, sse=sse, qualified=is_true(query.include_qualified_name))
        if sse:
            return EventStream(lines, ping=_Heartbeat(), ping_s=PING_S, greeting=b"")
        return EventStream(lines, ping_s=None, greeting=b"", media_type=LINES)


def _check_timeout(query: StreamQuery, dialect: Dialect) -> None:
    """It must be a number where the dialect knows it, though nobody waits. Raises `QueryError`."""
    if dialect.numbers or query.acquire_timeout is None:
        return
    try:
        float(query.acquire_timeout)
    except ValueError:
        raise QueryError(f"Invalid acquire_timeout: {query.acquire_timeout[:80]!r}") from None


def _cursor(request: Request, query: StreamQuery, dialect: Dialect, *, sse: bool) -> int | None:
    """The number of the last event that the client has had; -1 is none, None is all that there is now."""
    header = _number(request.headers.get(LAST_ID, "")) if sse else None
    if header is not None:
        return header
    text = query.after_sequence
    number = None if text is None else _number(text)
    if text is None or (number is None and text != "now" and not dialect.numbers):
        return -1 if dialect.from_start else None
    if number is None and text != "now":
        raise QueryError(f"Invalid after_sequence: {text[:80]!r}")
    return number


def _number(text: str) -> int | None:
    """A whole number, -1 for any below; None when it is none, or too large to be one of ours."""
    try:
        found = int(text) if len(text) <= 20 else None
    except ValueError:
        return None
    return None if found is None or found >> 63 > 0 else max(-1, found)


async def _unless_empty(events: AsyncGenerator[Numbered, None]) -> AsyncGenerator[Numbered, None] | None:
    """The same events; None when there are none. Of a run that has ended: they are all there, or not."""
    try:
        first = await anext(events)
    except StopAsyncIteration:
        return None

    async def all_of_them() -> AsyncGenerator[Numbered, None]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return all_of_them()


async def _lines(
    events: AsyncGenerator[Numbered, None], dialect: Dialect, *, sse: bool, qualified: bool
) -> AsyncGenerator[Line, None]:
    async with aclosing(events):
        async for event in events:
            data = event_line(event.envelope, dialect, qualified=qualified)
            yield Line(data=data, sse=sse, number=event.number if dialect.numbers else None)


class _Log:
    """The events of one run."""

    def __init__(
        self, engine: Engine, state: State, compiled: Compiled | None, *, has_events: bool, internal: bool
    ) -> None:
        self._engine = engine
        self._state = state
        self._run_id = state.run_id
        self._internal = internal
        self._typed: TypedWorkflow | None = compiled.typed if compiled is not None else None
        self._has_events = has_events
        self._hiding = hiding_of(compiled, state.input)

    @classmethod
    async def of(cls, engine: Engine, state: State, *, internal: bool) -> "_Log":
        compiled = await engine.compiled(state.definition)
        if compiled is not None:
            has_events = compiled.typed is not None
        else:  # the workflow is gone: what it put on its stream tells
            newest = await engine.last_items(state.run_id, 1)
            has_events = any(envelope_of(item) is not None for item in newest)
        return cls(engine, state, compiled, has_events=has_events, internal=internal)

    async def place(self, cursor: int | None) -> Place:
        """Where a client stands that has had the event of that number; None: at what there is now."""
        if cursor is None:
            return Place(seq=self._state.seq, item=await self._items())
        if not self._has_events:
            return envelopes.plain_place(cursor)
        return msgspec.structs.replace(envelopes.typed_place(cursor), seq=self._state.seq)

    async def events(self, place: Place) -> AsyncGenerator[Numbered, None]:
        """What follows, until the run has ended (or the server stops)."""
        ended = False
        async for seen in self._engine.watch(self._run_id, after_seq=place.seq, after_item=place.item):
            for event in self._of(seen):
                ended = is_last(event.envelope)
                if self._internal or not event.envelope.internal:
                    yield event
        state = await self._engine.state(self._run_id)
        if not ended and state.status in TERMINAL:
            ending = await self._ending(state, place)
            if ending is not None:
                yield ending

    def _of(self, seen: Seen) -> Iterator[Numbered]:
        return envelopes.typed_events(seen) if self._has_events else envelopes.plain_events(seen, self._hiding)

    async def _ending(self, state: State, place: Place) -> Numbered | None:
        """The end of a run that was ended from outside, or has no events of its own: what a client still lacks."""
        if state.phase is Status.COMPLETED:
            return None
        problem = ended_badly(state)
        if problem is not None and self._hiding is not None:
            problem = self._hiding.problem(problem)
        detail = error_text(problem) or ""
        items = await self._items()
        if not self._has_events:
            beyond = Place(seq=state.seq + 1, item=items)
            reached = (place.seq, place.item) >= (beyond.seq, beyond.item)
            number = envelopes.plain_number(beyond)
            return None if reached else Numbered(envelope=ending_of(state.phase, detail), number=number)
        if place.item > items or await self._tells_its_end():
            return None
        make = ending_of if self._typed is None else self._typed.ending
        return Numbered(envelope=make(state.phase, detail), number=items)

    async def _items(self) -> int:
        """How many items the stream has."""
        newest = await self._engine.last_items(self._run_id, 1)
        return newest[-1].n if newest else 0

    async def _tells_its_end(self) -> bool:
        newest = await self._engine.last_items(self._run_id, 1)
        envelope: Envelope | None = envelope_of(newest[-1]) if newest else None
        return envelope is not None and is_last(envelope)
