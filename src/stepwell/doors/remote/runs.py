"""Runs: listed, read, verified, followed and steered."""

from collections.abc import AsyncGenerator
from typing import Final

import msgspec
from starlette.responses import Response

from stepwell.core import commands as c
from stepwell.core.chain import Verified
from stepwell.core.errors import RunNotFoundError
from stepwell.core.history import Actor
from stepwell.doors.kit import Answer, Call, EventStream, Message, MissingError, Reply, last_position, position_of
from stepwell.doors.kit.masked import masked_event, masked_item
from stepwell.doors.kit.seeing import created_of
from stepwell.doors.remote import wire
from stepwell.doors.remote.api import PATH, api
from stepwell.engine import Seen
from stepwell.store.model import RunQuery, RunRow

RUNS: Final = f"{PATH}/runs"
ONE: Final = f"{RUNS}/{{id}}"
STREAM: Final = "text/event-stream"
UNKNOWN: Final = {404: "there is no such run, or it is somebody else's"}


async def visible_run(call: Call) -> str:
    """The id in the path. Raises `MissingError` when there is no such run that the caller may see."""
    id = call.path("id")
    try:
        return (await created_of(call.engine, call.principal, id)).run_id
    except RunNotFoundError:
        raise MissingError("run", id[:80]) from None


@api.get(RUNS, summary="List runs", answers={200: Answer(type=list[RunRow])})
async def list_runs_of_all(call: Call, query: wire.RunsQuery) -> Reply:
    """The caller's runs through every API, newest first."""
    wanted = RunQuery(
        owner=call.principal.sees,
        statuses=query.status,
        workflows=query.workflow,
        search=query.search,
        before=query.before,
        limit=query.limit,
    )
    return Reply(body=await call.engine.list_runs(wanted))


@api.get(
    f"{ONE}/history",
    summary="Read a run's history",
    headers={"Last-Event-ID": "of a stream: the id of the last message that was seen"},
    answers={200: Answer(type=wire.History, meaning="a page, oldest first; with Accept: text/event-stream, live")},
    fails=UNKNOWN,
)
async def read_history(call: Call, query: wire.HistoryQuery) -> Reply | Response:
    """The events as they are kept, secrets masked: their fold is the run. With `Accept: text/event-stream` events and
    stream items come as they are written, until the run has ended.
    """
    run_id = await visible_run(call)
    if STREAM in call.request.headers.get("accept", ""):
        position = last_position(call.request)
        return EventStream(_live(call, run_id, max(position.seq, query.after), position.item))
    hiding = await call.engine.hiding(run_id)
    events = await call.engine.store.events(run_id, query.after, query.limit + 1)
    page = [masked_event(event, hiding) for event in events[: query.limit]]
    return Reply(body=wire.History(events=page, more=len(events) > query.limit))


async def _live(call: Call, run_id: str, after_seq: int, after_item: int) -> AsyncGenerator[Message, None]:
    hiding = await call.engine.hiding(run_id)

    def shown(seen: Seen) -> wire.SeenNow:
        event = None if seen.event is None else masked_event(seen.event, hiding)
        item = None if seen.item is None else msgspec.to_builtins(masked_item(seen.item, hiding))
        return wire.SeenNow(seq=seen.seq, item_number=seen.item_number, event=event, item=item)

    async for seen in call.engine.watch(run_id, after_seq=after_seq, after_item=after_item):
        yield Message(data=shown(seen), id=position_of(seen))


@api.get(f"{ONE}/verification", summary="Verify a history", answers={200: Answer(type=Verified)}, fails=UNKNOWN)
async def verify_history(call: Call) -> Reply:
    """Whether every event is what was committed."""
    return Reply(body=await call.engine.verify(await visible_run(call)))


@api.post(
    f"{ONE}/commands",
    summary="Tell a run what to do",
    answers={200: Answer(type=wire.Told)},
    fails={**UNKNOWN, 409: "not in this status"},
)
async def tell_run(call: Call, body: wire.Tell) -> Reply:
    """A command that is carried out already changes nothing."""
    run_id = await visible_run(call)
    changed = await call.engine.tell(run_id, _command(body, call.actor))
    return Reply(body=wire.Told(changed=changed, status=(await call.engine.state(run_id)).status))


def _command(body: wire.Tell, actor: Actor) -> c.OutsideCommand:
    match body.command:
        case "pause":
            return c.PauseRun(reason=body.reason, actor=actor)
        case "resume":
            return c.ResumeRun(actor=actor)
        case "stop":
            return c.StopRun(reason=body.reason, actor=actor)
        case "cancel":
            return c.CancelRun(reason=body.reason, actor=actor)
        case "retry":
            return c.RetryRun(actor=actor)


@api.post(
    f"{ONE}/signals",
    summary="Send a signal",
    answers={200: Answer(type=wire.Told)},
    fails={**UNKNOWN, 409: "the run has ended"},
)
async def send_signal(call: Call, body: wire.SendSignal) -> Reply:
    """It is kept until a wait takes it."""
    run_id = await visible_run(call)
    await call.engine.signal(run_id, body.signal, body.data, id=body.id, actor=call.actor)
    return Reply(body=wire.Told(changed=True, status=(await call.engine.state(run_id)).status))
