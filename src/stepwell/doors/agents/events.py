"""The event log of a run: a page of it, or live."""

from collections.abc import AsyncGenerator

from starlette.responses import Response

from stepwell.core.chain import Link
from stepwell.doors.agents import wire
from stepwell.doors.agents.api import api
from stepwell.doors.agents.envelope import ListMeta, Pagination
from stepwell.doors.agents.reading import event_log, visible_run
from stepwell.doors.agents.runs import ONE
from stepwell.doors.kit import (
    Answer,
    Call,
    Cursor,
    EventStream,
    Message,
    Position,
    Reply,
    last_position,
    read_cursor,
    write_cursor,
)
from stepwell.engine import Engine

STREAM = "text/event-stream"


@api.get(
    f"{ONE}/events",
    summary="Read a run's event log",
    headers={"Last-Event-ID": "of a stream: the id of the last event that was seen"},
    answers={200: Answer(type=wire.EventList, meaning="a page, oldest first; with Accept: text/event-stream, live")},
    fails={404: "there is no such run, or it is somebody else's"},
)
async def read_events(call: Call, query: wire.EventsQuery) -> Reply | Response:
    """With `Accept: text/event-stream` every entry comes as it is written, its `seq` as the id, until the run has
    ended; `Last-Event-ID` (or `after_seq`) goes on behind an entry.
    """
    run_id = (await visible_run(call)).run_id
    if STREAM in call.request.headers.get("accept", ""):
        position = last_position(call.request)
        return EventStream(_live(call, run_id, max(position.seq, query.after_seq)))
    return Reply(body=await _page(call, run_id, query))


async def _page(call: Call, run_id: str, query: wire.EventsQuery) -> wire.EventList:
    after = query.after_seq if query.cursor is None else read_cursor(query.cursor).offset
    log = await event_log(call.engine, run_id)
    events = await call.engine.store.events(run_id, after, query.limit)
    links = await call.engine.links(run_id, after_seq=after, limit=query.limit)
    page = [log.entry(seq, event, links.get(seq)) for seq, event in enumerate(events[: query.limit], after + 1)]
    total = (await call.engine.state(run_id)).seq
    last = after + len(page)
    next = write_cursor(Cursor(offset=last)) if page and last < total else None
    return wire.EventList(
        data=page, meta=ListMeta(pagination=Pagination(total_count=total, has_more=next is not None, cursor=next))
    )


async def _live(call: Call, run_id: str, after_seq: int) -> AsyncGenerator[Message, None]:
    log = await event_log(call.engine, run_id)
    async for seen in call.engine.watch(run_id, after_seq=after_seq):
        if seen.event is not None:
            entry = log.entry(seen.seq, seen.event, await _link(call.engine, run_id, seen.seq))
            yield Message(event=entry.type, id=Position(seen.seq), data=entry)


async def _link(engine: Engine, run_id: str, seq: int) -> Link | None:
    if not engine.options.audit_chain:
        return None
    return (await engine.links(run_id, after_seq=seq - 1, limit=1)).get(seq)
