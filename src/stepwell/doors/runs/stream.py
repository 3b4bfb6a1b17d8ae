"""Streaming execution: a run's events and thinking as they come, then its result or its error, then the end.

Every message but `ping` has an id. It says what of the run's record lies behind the client: `17.3` event 17 of the
history and item 3 of the stream, `17.3.2` also two messages of what comes next, `17.3.end` that it has had the last.
A client that comes back with it misses nothing and sees nothing twice. Nothing is buffered for a slow reader: the
record is read at its own pace, so nothing has to be dropped.
"""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from starlette.responses import Response

from stepwell.core import history as h
from stepwell.core.errors import code_of
from stepwell.core.status import Status
from stepwell.doors.kit import Answer, Call, EventStream, Fault, InvalidRequestError, Message
from stepwell.doors.runs.api import RUNS, api
from stepwell.doors.runs.execute import RUN_ID, cancel_quietly
from stepwell.doors.runs.following import Change, Follower
from stepwell.doors.runs.mapping import CANCELLED, FAILED, activity_id, text_of
from stepwell.doors.runs.orders import JSON, ExecuteForm, read_order
from stepwell.doors.runs.parts import MULTIPART
from stepwell.doors.runs.reading import created_of, shown_run
from stepwell.doors.runs.statuses import run_status
from stepwell.doors.runs.wire import ExecuteRequest, RunAnswer
from stepwell.engine import Engine
from stepwell.engine.hiding import hiding_of
from stepwell.engine.ids import workflow_uuid
from stepwell.engine.watching import Seen

EVENTS: Final = "text/event-stream"
PING: Final = Message(event="ping", data={"content": "ping"})
LAST_ID: Final = "Last-Event-ID"
END: Final = "end"
_ID: Final = re.compile(r"(\d{1,15})\.(\d{1,15})(?:\.(?:(\d{1,9})|(end)))?")
STREAMED: Final = Answer(
    type=str,
    meaning="server-sent events until the run has ended",
    media_type=EVENTS,
    headers={RUN_ID: "the run's id"},
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a client stands: after event `seq` and item `item`, and `part` messages of what follows these.

    `ended`: it has had the last message that there was.
    """

    seq: int = 0
    item: int = 0
    part: int = 0
    ended: bool = False

    def __str__(self) -> str:
        rest = f".{END}" if self.ended else f".{self.part}" if self.part else ""
        return f"{self.seq}.{self.item}{rest}"


START: Final = Place()


def read_place(text: str) -> Place:
    """The text of an id; "" is the start. Raises `InvalidRequestError`."""
    if not text.strip():
        return START
    found = _ID.fullmatch(text.strip())
    if found is None:
        message = f"expected the id of a message like 17.3, found {text[:40]!r}"
        raise InvalidRequestError([Fault(path=(LAST_ID,), message=message)])
    seq, item, part, ended = found.groups()
    return Place(seq=int(seq), item=int(item), part=int(part or 0), ended=ended is not None)


@api.post(
    f"{RUNS}/execute/stream",
    summary="Execute a workflow and stream its progress",
    bodies={MULTIPART: ExecuteForm, JSON: ExecuteRequest},
    keyed=False,
    answers={200: STREAMED},
    fails={400: "an input is wrong", 404: "there is no such workflow", 413: "a file or field is too large"},
)
async def execute_stream(call: Call) -> Response:
    """Events `workflow-run` (the first has the run's id), `activity-run`, `thinking`, `ping`; exactly one of `result`
    and `error` is the last. The run goes on when the client has gone, unless `onDisconnect` is `cancel`.
    """
    order = await read_order(call)

    async def start_and_stream() -> Response:
        run_id = await order.start(call)
        messages = _Stream(call.engine, run_id).messages(START)
        if order.cancels_on_disconnect:
            messages = _cancelling(call, run_id, messages)
        return EventStream(messages, ping=PING, headers={RUN_ID: run_id})

    return await order.once(call, start_and_stream)


@api.get(
    f"{RUNS}/{{run_id}}/stream",
    summary="Stream the progress of a run",
    headers={LAST_ID: "the id of the last message that the client has had: it goes on behind that one"},
    answers={200: STREAMED, 204: Answer(meaning="the run has ended, and the client has had everything")},
    fails={400: "Last-Event-ID is no id of a message", 404: "there is no such run"},
)
async def stream_run(call: Call) -> Response:
    """From the start, or behind `Last-Event-ID`. A stream of a run that has ended tells all of it again."""
    created = await created_of(call, call.id("run_id", "workflow run"))
    place = read_place(call.request.headers.get(LAST_ID, ""))
    if place.ended and not await call.engine.history(created.run_id, after_seq=max(place.seq, 1)):
        return Response(None, 204)
    messages = _Stream(call.engine, created.run_id).messages(place)
    return EventStream(messages, ping=PING, headers={RUN_ID: created.run_id})


async def _cancelling(
    call: Call, run_id: str, messages: AsyncGenerator[Message, None]
) -> AsyncGenerator[Message, None]:
    """The same; when they are not asked for to their end, the client has gone, and the run is cancelled."""
    whole = False
    try:
        async with aclosing(messages):
            async for message in messages:
                yield message
        whole = True
    finally:
        if not whole:
            await cancel_quietly(call, run_id)


class _Stream:
    """The messages of one run for one client."""

    def __init__(self, engine: Engine, run_id: str) -> None:
        self._engine = engine
        self._run_id = run_id
        self._status = ""

    async def messages(self, place: Place) -> AsyncGenerator[Message, None]:
        """What lies behind a place, until the run has ended (or the server stops)."""
        follower = await self._follower(place)
        skipped, behind = place.part, Place(seq=place.seq, item=place.item)
        async for seen in self._engine.watch(self._run_id, after_seq=place.seq, after_item=place.item):
            reached = Place(seq=seen.seq, item=seen.item_number)
            data = list(self._data_of(seen, follower))
            for number, (event, body) in enumerate(data, 1):
                if number > skipped:
                    id = reached if number == len(data) else Place(seq=behind.seq, item=behind.item, part=number)
                    yield Message(event=event, data=body, id=str(id))
            skipped, behind = 0, reached
            if isinstance(seen.event, h.RunRetried) and seen.event.base is not None:
                compiled = await self._engine.compiled(seen.event.base.definition)
                follower.change_outline(() if compiled is None else compiled.outline)
        if follower.state.terminal:
            event, body = await self._last(follower.state.phase)
            yield Message(event=event, data=body, id=str(Place(seq=behind.seq, item=behind.item, ended=True)))

    async def _follower(self, place: Place) -> Follower:
        """What follows the run, as far as the client has seen it."""
        events = await self._engine.history(self._run_id, limit=max(1, place.seq))
        created = events[0]
        assert isinstance(created, h.RunCreated)
        compiled = await self._engine.compiled(created.definition)
        follower = Follower(
            () if compiled is None else compiled.outline,
            hiding_of(compiled, created.input),
        )
        for event in events[: place.seq]:
            follower.take(event)
        self._status = run_status(follower.state.status) if place.seq else ""
        return follower

    # --- data -------------------------------------------------------------------------------------------------------

    def _data_of(self, seen: Seen, follower: Follower) -> Iterator[tuple[str, Any]]:
        """Names and data of the messages for something that happened, those of activities before the run's own."""
        if seen.event is not None:
            for change in follower.take(seen.event):
                yield "activity-run", {"content": self._activity(change)}
            status = run_status(follower.state.status)
            if status != self._status:
                self._status = status
                yield "workflow-run", {"content": self._run(follower)}
        elif seen.item is not None and seen.item.type == "thinking":
            key, attempt = follower.attempt_of(seen.item.key, seen.item.attempt)
            yield (
                "thinking",
                {
                    "content": seen.item.data,
                    "stepId": key,
                    "activityRunId": activity_id(self._run_id, key, attempt),
                    "seq": seen.item_number,
                },
            )

    def _activity(self, change: Change) -> dict[str, Any]:
        content = {
            "workflowRunId": self._run_id,
            "status": change.status,
            "activityRunId": activity_id(self._run_id, change.key, change.attempt),
            "stepId": change.key,
            "stepName": change.name or None,
            "attempt": change.attempt,
        }
        return content if change.error is None else {**content, "error": text_of(change.error)}

    def _run(self, follower: Follower) -> dict[str, Any]:
        state = follower.state
        failed = None if state.error is None else follower.shown(state.error)
        reason = text_of(failed) or state.reason or state.waiting_for
        content = {
            "workflowRunId": self._run_id,
            "status": self._status,
            "workflowId": workflow_uuid(state.workflow),
        }
        return {**content, "reason": str(reason)} if reason else content

    async def _last(self, status: Status) -> tuple[str, Any]:
        """`result` when the run has completed, else `error`."""
        if status is Status.COMPLETED:
            return "result", RunAnswer(workflow_run=await shown_run(self._engine, self._run_id))
        view = await self._engine.view(self._run_id)
        about: dict[str, Any] = {"workflowRunId": self._run_id}
        if status is Status.CANCELLED:
            return "error", {"error": CANCELLED, "details": view.cancel_reason, **about, "code": "cancelled"}
        assert view.error is not None, "a failed run has an error"
        return "error", {"error": FAILED, "details": text_of(view.error), **about, "code": code_of(view.error)}
