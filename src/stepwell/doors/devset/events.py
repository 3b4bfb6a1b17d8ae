"""The messages of a run: all of them, by page, or as they are acknowledged."""

from collections.abc import AsyncGenerator

import msgspec
from starlette.responses import Response

from stepwell.brokers.port import Delivery
from stepwell.doors.devset.api import ENGINE, api
from stepwell.doors.devset.counting import run_of
from stepwell.doors.devset.runs import known_run
from stepwell.doors.devset.wire import Acknowledged, Event, Events, EventsQuery, Group
from stepwell.doors.kit import Answer, Call, EventStream, Message, Reply, last_position, position_of
from stepwell.doors.kit.streams import MEDIA_TYPE
from stepwell.engine import Engine
from stepwell.programs.pipeline.execution import iso
from stepwell.programs.pipeline.reporting import Sent, is_item, messages_of
from stepwell.store.model import StreamItem

PAGE = 5
"""Items of a stream that are read at once, each of up to 2,000 messages."""
DEFAULT_LIMIT = 10_000

for prefix in ENGINE:

    @api.get(
        f"{prefix}/runs/{{run_id}}/events",
        summary="List the messages of a run",
        answers={200: Answer(type=Events, meaning="by execution")},
        fails={404: "there is no such run"},
    )
    async def list_events(call: Call, query: EventsQuery) -> Reply | Response:
        """Messages that the broker acknowledged. `Accept: text/event-stream` sends them as they are."""
        run_id = await known_run(call)
        if MEDIA_TYPE in call.request.headers.get("accept", ""):
            return EventStream(_messages(call, run_id))
        return Reply(body=await _page(call, run_id, query))


async def _page(call: Call, run_id: str, query: EventsQuery) -> Events:
    run = await run_of(call.engine, run_id)
    limit = query.limit or DEFAULT_LIMIT
    groups: dict[int, list[Sent]] = {}
    after, seen = await _before(call.engine, run_id, query.since)
    more = False
    async for sent in _sent(call.engine, run_id, after):
        seen += 1
        if seen <= query.since:
            continue
        if seen > query.since + limit:
            more = True
            break
        groups.setdefault(sent.execution, []).append(sent)
    if not query.since and not more:  # every execution has its group, those without messages too
        for index in range(1, min(run.submitted_executions, DEFAULT_LIMIT) + 1):
            groups.setdefault(index, [])
    return Events(
        run_id=run_id,
        status=run.status,
        execution_count=run.submitted_executions,
        executions=[_group(run_id, index, found, details=query.details) for index, found in sorted(groups.items())],
        next=query.since + limit if more else None,
    )


def _group(run_id: str, index: int, found: list[Sent], *, details: bool) -> Group:
    """In the order in which the execution sent them: partitions acknowledge in any."""
    found.sort(key=lambda sent: sent.n)
    events = [event_of(run_id, sent, details=details) for sent in found]
    return Group(execution_index=index, event_count=len(events), events=events)


async def _before(engine: Engine, run_id: str, since: int) -> tuple[int, int]:
    """A stream item that at most `since` messages precede or are in, and how many; near to where they end."""
    newest = await engine.last_items(run_id, 1)
    low, high, seen = 0, newest[0].n if newest else 0, 0
    while since and high - low > 1:
        middle = (low + high) // 2
        total = _total((await engine.stream(run_id, after=middle - 1, limit=1))[0])
        if total is None:  # an item of another kind: what lies before it is read from where we are
            break
        if total <= since:
            low, seen = middle, total
        else:
            high = middle
    return low, seen


def _total(item: StreamItem) -> int | None:
    """How many messages of the run there were up to an item of its stream."""
    if item.type == "item" and is_item(item.data):
        return int(item.data.get("counts", {}).get("messages", 0))
    return None


async def _sent(engine: Engine, run_id: str, after: int) -> AsyncGenerator[Sent, None]:
    """Every message once, in the order of the acknowledgements, from the items of the stream after that one."""
    while items := await engine.stream(run_id, after=after, limit=PAGE):
        for item in items:
            for sent in messages_in(item):
                yield sent
        after = items[-1].n


def messages_in(item: StreamItem) -> list[Sent]:
    """The messages that an item of the stream tells of."""
    if item.type == "item" and is_item(item.data):
        return messages_of(item.data)
    return []


def event_of(run_id: str, sent: Sent, *, details: bool) -> Event:
    if not details:
        return Event(stage_name=sent.stage, header=sent.headers, payload=sent.payload)
    return Event(
        stage_name=sent.stage,
        header=sent.headers,
        payload=sent.payload,
        n=sent.n,
        key=sent.key,
        message_id=f"{run_id}/{sent.execution}/{sent.n}",
        delivery=None if sent.delivery is None else _acknowledged(sent.delivery),
        sent_at=iso(sent.at),
    )


def _acknowledged(delivery: Delivery) -> Acknowledged:
    if delivery.offset is not None:
        return Acknowledged(topic=delivery.topic, partition=delivery.partition, offset=delivery.offset)
    return Acknowledged(exchange=delivery.exchange, routing_key=delivery.routing_key, confirmed=delivery.confirmed)


async def _messages(call: Call, run_id: str) -> AsyncGenerator[Message, None]:
    """Events of the kind `message`, then one `run` with how the run ended."""
    start = last_position(call.request)
    async for seen in call.engine.watch(run_id, after_seq=start.seq, after_item=start.item):
        if seen.item is None:
            continue
        found = list(messages_in(seen.item))
        for sent in found:
            data = {"executionIndex": sent.execution, **msgspec.to_builtins(event_of(run_id, sent, details=True))}
            yield Message(event="message", data=data, id=position_of(seen) if sent is found[-1] else None)
    yield Message(event="run", data=await run_of(call.engine, run_id))
