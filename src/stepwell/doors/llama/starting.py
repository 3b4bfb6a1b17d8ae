"""Starting runs: afresh, from a context, or in the place of one that has ended; waited for, or not."""

from typing import Any, Final

from starlette.responses import PlainTextResponse, Response

from stepwell.core.errors import ProgramError
from stepwell.core.status import TERMINAL, Status
from stepwell.core.typed import EventFault, continuing
from stepwell.doors.kit import Answer, Api, Call, Reply, json_response, wait_for_end
from stepwell.doors.llama.bodies import encoded, read_object, unpacked
from stepwell.doors.llama.describing import hosted
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.errors import HandlerBusyError, HandlerMissingError, InvalidStartError, fault_text
from stepwell.doors.llama.handlers import MAX_ID, Handle, Handlers
from stepwell.doors.llama.hosted import PIPELINE, Hosted
from stepwell.doors.llama.mapping import Shown, handler_of
from stepwell.doors.llama.reading import Reader
from stepwell.doors.llama.wire import Handler, ReadableHandler, RunRequest
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
            202: Answer(type=handler_type, meaning="the run goes on: the client that waited for it went away"),
            **failed,
        },
        fails={**fails, **text_failed},
        keyed=False,
    )
    async def run_workflow(call: Call) -> Response:
        """The run is on disk before the wait begins, and goes on when the client has gone."""

        async def work() -> Response:
            handle = await _start(call, dialect)
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
    return json_response(Reply(body=handler_of(found, dialect, waited_for=True), status=status))


async def _start(call: Call, dialect: Dialect) -> Handle:
    """Start what the request asks for; it is on disk on return.

    Raises `WorkflowMissingError`, `BodyError`, `InvalidStartError`, `HandlerMissingError`, `HandlerBusyError`.
    """
    workflow = await hosted(call)
    body = await read_object(call, of="start")
    input = await _input(call, workflow, body)
    context = _member(body, "context", dict) or {}
    chosen = _member(body, "handler_id", str) or ""
    handlers = Handlers(call.engine, call.principal, start_key=call.start_key)
    handle = await _chosen(call, dialect, workflow, chosen) if chosen else None
    labels = workflow.labels
    if not context and handle is not None and handle.before:
        context = await _context_after(call, handle.before)
        labels |= continuing(context) if context else {}
        input = _taken_over(workflow, input, context, labels)
    elif context:
        input = _with_context(workflow, input, context)
    while True:
        asked = handle if handle is not None else handlers.fresh()
        found = await call.engine.start(
            workflow.definition.name,
            input,
            version=workflow.definition.version,
            start_key=call.start_key,
            run_id=asked.run_id,
            owner=call.principal.owner,
            door=DOOR,
            labels=labels | asked.labels,
            actor=call.actor,
        )
        if found.created or call.start_key is not None:
            break
        handle = None  # as good as never: another run of this millisecond has the id
    if found.run_id != asked.run_id:  # the request came before, with the same idempotency key
        state = await call.engine.state(found.run_id)
        return Handle(handler_id=handlers.id_of(state), run_id=found.run_id)
    await handlers.began(asked)
    return asked


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


async def _chosen(call: Call, dialect: Dialect, workflow: Hosted, handler_id: str) -> Handle:
    """What a run under this id is: the next of one that has ended, or the first of that name."""
    handlers = Handlers(call.engine, call.principal, start_key=call.start_key)
    try:
        state = await handlers.find(handler_id)
    except HandlerMissingError:
        if not dialect.adopts_ids:
            raise
        if len(handler_id) > MAX_ID or "/" in handler_id or not handler_id.isprintable():
            text = f"expected at most {MAX_ID} printable characters without a slash"
            raise InvalidStartError(f"Validation error for 'handler_id': {text}") from None
        return await handlers.adopt(handler_id)
    if state.status not in TERMINAL:
        raise HandlerBusyError(handler_id)
    same = state.workflow == workflow.definition.name
    if not dialect.continues_failed and not (same and state.phase is Status.COMPLETED):
        raise HandlerMissingError
    return await handlers.go_on(handler_id, state.run_id)


async def _context_after(call: Call, run_id: str) -> dict[str, Any]:
    """The state that a run has left; none where it has none that can be read."""
    history = await call.engine.history(run_id)
    compiled = await call.engine.compiled((await call.engine.state(run_id)).definition)
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
