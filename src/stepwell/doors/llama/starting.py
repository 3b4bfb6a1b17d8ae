"""Starting runs: afresh, from a context, or in the place of one that has ended; waited for, or not."""

from typing import Any, Final

import msgspec
from starlette.responses import PlainTextResponse, Response

from stepwell.core.errors import ProgramError
from stepwell.core.state import State
from stepwell.core.status import TERMINAL, Status
from stepwell.core.typed import EventFault, continuing
from stepwell.doors.kit import Answer, Api, Call, Reply, Unfinished, json_response, wait_for_end
from stepwell.doors.llama.bodies import encoded, read_object, unpacked
from stepwell.doors.llama.describing import hosted
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.errors import HandlerBusyError, HandlerMissingError, InvalidStartError, fault_text
from stepwell.doors.llama.handlers import MAX_ID, Handle, Handlers
from stepwell.doors.llama.hosted import PIPELINE, Hosted
from stepwell.doors.llama.mapping import Shown, handler_of
from stepwell.doors.llama.reading import Reader
from stepwell.doors.llama.wire import Handler, ReadableHandler, RunRequest
from stepwell.engine.results import Started
from stepwell.programs.flow.nodes.validation import DataCheck

DOOR: Final = "llama"
BADLY: Final = (Status.FAILED, Status.CANCELLED)
_CANCELLED: Final = "the run was cancelled"


def declare(api: Api, dialect: Dialect) -> None:
    """Declare the operations."""
    workflow = f"{dialect.prefix}/workflows/{{name}}"
    handler_type = ReadableHandler if dialect.tells_readable else Handler
    fails = {400: "the start event is wrong", 404: "there is no such workflow, or no such handler"}
    if not dialect.busy_is_missing:
        fails[409] = "the handler has not ended"
    failed = {} if dialect.failed_is_text else {500: Answer(type=handler_type, meaning="the run failed")}
    text_failed = {500: "the run failed, or the body is no JSON object"} if dialect.failed_is_text else {}

    @api.post(
        f"{workflow}/run",
        summary="Run a workflow and wait for its end",
        bodies={"application/json": RunRequest},
        answers={
            200: Answer(type=handler_type, meaning="the run has completed"),
            202: Answer(type=handler_type, meaning="the run goes on: the server stops, or the client went away"),
            **failed,
        },
        fails={**fails, **text_failed},
        keyed=False,
    )
    async def run_workflow(call: Call) -> Response:
        """The run is on disk before the wait begins, and goes on when the client has gone."""

        async def work() -> Response:
            handle = await _start(call, dialect)
            call.started()
            return await _end_of(call, dialect, handle)

        return await call.once(await call.body(), work)

    @api.post(
        f"{workflow}/run-nowait",
        summary="Run a workflow",
        bodies={"application/json": RunRequest},
        answers={200: Answer(type=handler_type, meaning="the run is on disk and begins")},
        fails={**fails, **({500: "the body is no JSON object"} if dialect.failed_is_text else {})},
        keyed=False,
    )
    async def run_workflow_nowait(call: Call) -> Response:
        async def work() -> Response:
            now = call.now
            handle = await _start(call, dialect)
            began = Shown(
                handler_id=handle.handler_id,
                run_id=handle.run_id,
                workflow_name=call.path("name"),
                status=Status.RUNNING,
                started_at=now,
                updated_at=now,
            )
            return json_response(Reply(body=handler_of(began, dialect)))

        return await call.once(await call.body(), work)


async def _end_of(call: Call, dialect: Dialect, handle: Handle) -> Response:
    """How the run ended; how it stands when the server stops meanwhile, or when the client has gone."""
    waited = await wait_for_end(call, handle.run_id)
    state = waited.state if waited.state is not None else await call.engine.state(handle.run_id)
    reader = Reader(call.engine, Handlers(call.engine, call.principal), dialect)
    found = await reader.shown(state, handler_id=handle.handler_id)
    if state.status in BADLY and dialect.failed_is_text:
        return PlainTextResponse(f"Error running workflow: {found.error or _CANCELLED}", 500)
    status = 200 if state.phase is Status.COMPLETED else 500 if state.status in BADLY else 202
    reply = Reply(body=handler_of(found, dialect, waited_for=True), status=status)
    return json_response(reply, Unfinished if status == 202 else Response)


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for, checked. `before` is the run that it goes on from, `chosen` the handler id that it
    names, or is to have.
    """

    workflow: Hosted
    input: Any
    labels: dict[str, str]
    chosen: str = ""
    before: State | None = None


async def _start(call: Call, dialect: Dialect) -> Handle:
    """Start what the request asks for; it is on disk on return. All that can be wrong with it is found before that.

    Raises `WorkflowMissingError`, `BodyError`, `InvalidStartError`, `HandlerMissingError`, `HandlerBusyError`.
    """
    workflow = await hosted(call)
    body = await read_object(call, of="start")
    input = await _input(call, workflow, body)
    context = _member(body, "context", dict) or {}
    chosen = _member(body, "handler_id", str) or ""
    if context:
        input = _with_context(workflow, input, context)
    handlers = Handlers(call.engine, call.principal, start_key=call.start_key)
    if chosen and (begun := await handlers.begun(chosen)) is not None:
        return begun
    order = _Order(workflow=workflow, input=input, labels=workflow.labels, chosen=chosen)
    if chosen:
        before = await _before(handlers, dialect, workflow, chosen)
        order = await _going_on(call, order, before, has_context=bool(context))
    return await _begin(call, handlers, order)


async def _begin(call: Call, handlers: Handlers, order: _Order) -> Handle:
    while True:
        asked = await _handle(handlers, order)
        try:
            found = await _started(call, order, asked)
        except Exception:  # whatever it was, there is no such run; the door words it
            await handlers.give_back(asked)
            raise
        if found.created or (call.start_key is not None and found.run_id == asked.run_id):
            await handlers.began(asked)
            return asked
        await handlers.give_back(asked)
        if call.start_key is not None:  # the request came before, with the same idempotency key
            state = await call.engine.state(found.run_id)
            return Handle(handler_id=handlers.id_of(state), run_id=found.run_id)
        # As good as never: another run of this millisecond has the id.


async def _handle(handlers: Handlers, order: _Order) -> Handle:
    """What the run is to be known by. Raises `HandlerBusyError`."""
    if not order.chosen:
        return handlers.fresh()
    if order.before is None:
        return await handlers.adopt(order.chosen)
    return await handlers.go_on(order.chosen, order.before.run_id)


async def _started(call: Call, order: _Order, asked: Handle) -> Started:
    definition = order.workflow.definition
    return await call.engine.start(
        definition.name,
        order.input,
        version=definition.version,
        start_key=call.start_key,
        run_id=asked.run_id,
        owner=call.principal.owner,
        door=DOOR,
        labels=order.labels | asked.labels,
        actor=call.actor,
    )


async def _input(call: Call, workflow: Hosted, body: dict[str, Any]) -> Any:
    """The run's input. Raises `InvalidStartError`."""
    kwargs = _member(body, "kwargs", dict) or {}
    try:
        input = workflow.face.read_start(unpacked(body.get("start_event", kwargs)))
    except EventFault as fault:
        raise InvalidStartError(_start_text(fault)) from None
    if workflow.schema is not None:
        check = DataCheck(workflow.schema, "start event", call.request.app.state.expressions)
        try:
            await check.check(input, "")
        except ProgramError as fault:
            raise InvalidStartError(f"Validation error for 'start_event': {fault.problem.detail}") from None
    if workflow.definition.kind == PIPELINE:
        _check_executions(input, call.request.app.state.max_executions)
    return input


def _start_text(fault: EventFault) -> str:
    text = fault_text(fault)
    return text if fault.code == "not_a_start_event" else f"Validation error for 'start_event': {text}"


def _check_executions(input: Any, most: int) -> None:
    executions = input.get("executions", 1)
    if type(executions) is not int or not 0 < executions <= most:
        text = f"executions must be a whole number from 1 to {most}"
        raise InvalidStartError(f"Validation error for 'start_event': {text}")


def _member(body: dict[str, Any], name: str, kind: type[Any]) -> Any:
    """A member of the body; None when it is left out or empty. Raises `InvalidStartError`."""
    value = body.get(name)
    if value is None or isinstance(value, kind):
        return value
    expected = "an object" if kind is dict else "a text"
    raise InvalidStartError(f"Validation error for {name!r}: expected {expected}, found {encoded(value)}")


# --- going on from another run --------------------------------------------------------------------------------------


async def _before(handlers: Handlers, dialect: Dialect, workflow: Hosted, handler_id: str) -> State | None:
    """The run that has ended and is to be gone on from; None where the run is the first of that name.

    Raises `HandlerMissingError`, `HandlerBusyError`, `InvalidStartError`.
    """
    try:
        state = await handlers.find(handler_id)
    except HandlerMissingError:
        if not dialect.adopts_ids:
            raise
        if len(handler_id) > MAX_ID or "/" in handler_id or not handler_id.isprintable():
            text = f"expected at most {MAX_ID} printable characters without a slash"
            raise InvalidStartError(f"Validation error for 'handler_id': {text}") from None
        return None
    if state.status not in TERMINAL:
        raise HandlerBusyError(handler_id)
    same = state.workflow == workflow.definition.name
    if not dialect.continues_failed and not (same and state.phase is Status.COMPLETED):
        raise HandlerMissingError
    return state


async def _going_on(call: Call, order: _Order, before: State | None, *, has_context: bool) -> _Order:
    """With the state of the run before, where it left one and the request has none of its own."""
    left = {} if before is None or has_context else await _context_after(call, before)
    labels = order.labels | (continuing(left) if left else {})
    input = _taken_over(order.workflow, order.input, left, labels)
    return msgspec.structs.replace(order, before=before, labels=labels, input=input)


async def _context_after(call: Call, before: State) -> dict[str, Any]:
    """The state that a run has left; none where it has none that can be read."""
    history = await call.engine.history(before.run_id)
    compiled = await call.engine.compiled(before.definition)
    if compiled is None or compiled.typed is None:
        return {}
    try:
        context: dict[str, Any] = await compiled.typed.context_after(history)
    except EventFault:
        return {}
    return context


def _taken_over(workflow: Hosted, input: Any, context: dict[str, Any], labels: dict[str, str]) -> Any:
    """With the state of another run, if it fits."""
    if not context:
        return input
    try:
        return workflow.face.with_context(input, context, labels)
    except EventFault:
        return input


def _with_context(workflow: Hosted, input: Any, context: dict[str, Any]) -> Any:
    try:
        return workflow.face.with_context(input, context)
    except EventFault as fault:
        raise InvalidStartError(f"Validation error for 'context': {fault_text(fault)}") from None
