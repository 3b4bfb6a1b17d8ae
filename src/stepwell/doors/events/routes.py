"""`/api/v1/cloudevents`: events in by POST, the life of a run out by GET. Every fault is problem JSON (RFC 9457)."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stepwell.core.errors import InvalidInputError, RunNotFoundError
from stepwell.core.history import RunCreated
from stepwell.doors.events.lifecycle import NAMESPACE, CloudEvent, Lifecycle
from stepwell.doors.events.wire import BATCH, STRUCTURED, UnsupportedMediaError, read_events
from stepwell.doors.kit import Answer, Api, EventStream, Message, Operation, Position
from stepwell.doors.kit.seeing import created_of
from stepwell.doors.problem import MEDIA_TYPE, PROBLEMS, ProblemBody, problem_response
from stepwell.engine import Engine
from stepwell.security.middleware import principal_of

PATH: Final = "/api/v1/cloudevents"
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_EVENTS: Final = 1_000
PAGE: Final = 1_000

_encode = msgspec.json.encode


class LifecycleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a run's life: events whose `sequence` is above `after`."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1)] = PAGE


async def send_events(request: Request) -> Response:
    """Accept one event or a batch: 202 when all of them are on disk. None is accepted when one of them is wrong."""
    engine: Engine = request.app.state.engine
    try:
        events = read_events(request.headers, await _body(request))
    except InvalidInputError as fault:
        return problem_response(400, str(fault))
    except UnsupportedMediaError as fault:
        return problem_response(415, str(fault), headers={"Accept": f"{STRUCTURED}, {BATCH}"})
    if len(events) > MAX_EVENTS:
        return problem_response(413, f"expected at most {MAX_EVENTS} events, found {len(events)}")
    for event in events:
        await engine.send_event(event, owner=principal_of(request).sees or "")
    return Response(_encode({"accepted": len(events)}), 202, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Raises `HTTPException` (413) once it is too large: what is too much is not read."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise HTTPException(413, f"expected a body of at most {MAX_BYTES} bytes, found more")
        chunks.append(chunk)
    return b"".join(chunks)


async def read_lifecycle(request: Request) -> Response:
    """The life of a run after a `sequence`: a JSON batch, or with `Accept: text/event-stream` as it goes on."""
    engine: Engine = request.app.state.engine
    run_id = request.path_params["run_id"]
    streamed = "text/event-stream" in request.headers.get("accept", "")
    last_seen = request.headers.get("last-event-id", "0") if streamed else "0"
    try:
        after = _number(request.query_params.get("after", last_seen), "after", least=0)
        limit = _number(request.query_params.get("limit", str(PAGE)), "limit", least=1)
        life = Lifecycle(namespace=await _namespace(engine, await created_of(engine, principal_of(request), run_id)))
        if streamed:
            return EventStream(_streamed(engine, run_id, after, life))
        page, more = await _page(engine, run_id, after, min(limit, PAGE), life)
    except InvalidInputError as fault:
        return problem_response(400, str(fault))
    except RunNotFoundError as fault:
        return problem_response(404, str(fault))
    link = {"Link": f'<{PATH}/{run_id}?after={page[-1]["sequence"]}&limit={limit}>; rel="next"'} if more else {}
    return Response(_encode(page), headers=link, media_type=BATCH)


async def _namespace(engine: Engine, created: RunCreated) -> str:
    """That of the run's document; templates and Python workflows have none."""
    compiled = await engine.compiled(created.definition)
    return (compiled.namespace if compiled is not None else "") or NAMESPACE


def _number(text: str, name: str, *, least: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) < least:
        raise InvalidInputError(f"{name}: expected a whole number, {least} or more, found {text!r}")
    return int(text)


async def _page(
    engine: Engine, run_id: str, after: int, limit: int, life: Lifecycle
) -> tuple[list[CloudEvent], bool]:
    """About `limit` events after a sequence (all of the last sequence), and whether more follow."""
    page: list[CloudEvent] = []
    for seq, event in enumerate(await engine.history(run_id), 1):
        found = life.take(event)
        if seq <= after or not found:
            continue
        if len(page) >= limit:
            return page, True
        page += found
    return page, False


async def _streamed(engine: Engine, run_id: str, after: int, life: Lifecycle) -> AsyncGenerator[Message, None]:
    """One message per event. The last of a sequence carries its number, so who comes back gets no half of one."""
    async for seen in engine.watch(run_id):
        found = life.take(seen.event) if seen.event is not None else []
        if seen.seq <= after:
            continue
        for number, event in enumerate(found, 1):
            yield Message(data=event, id=Position(seen.seq) if number == len(found) else None)


api: Final = Api(
    "events",
    title="CloudEvents, in and out",
    prefixes=[PATH],
    errors=PROBLEMS,
    error_type=ProblemBody,
    error_media_type=MEDIA_TYPE,
)
api.add(
    Operation(
        name="send_events",
        method="POST",
        path=PATH,
        endpoint=send_events,
        summary="Send one event, or a batch",
        description="In structured mode, as a batch, or in binary mode: the attributes in `ce-` headers.",
        bodies={STRUCTURED: dict[str, Any], BATCH: list[dict[str, Any]]},
        answers={202: Answer(type=dict[str, int], meaning="all of them are on disk")},
        fails={400: "an event is not as the standard asks", 415: "the body is no form of a CloudEvent"},
    )
)
api.add(
    Operation(
        name="read_lifecycle",
        method="GET",
        path=f"{PATH}/{{run_id}}",
        endpoint=read_lifecycle,
        summary="Read the life of a run",
        description="The standard's lifecycle events; with `Accept: text/event-stream` as the run goes on.",
        query=LifecycleQuery,
        headers={"Last-Event-ID": "of a stream: where to go on"},
        answers={200: Answer(type=list[dict[str, Any]], media_type=BATCH, headers={"Link": "the next page"})},
        fails={400: "a parameter is no whole number", 404: "there is no such run, or it is somebody else's"},
    )
)

routes: Final = api.routes
