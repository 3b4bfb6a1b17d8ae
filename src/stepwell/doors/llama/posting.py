"""Events for runs: on disk when they are answered, taken by the run even if it has to be brought back for them."""

from typing import Any, Final

from starlette.responses import Response

from stepwell.core.errors import RefusedError, StepwellError
from stepwell.core.state import State
from stepwell.core.status import TERMINAL
from stepwell.core.typed import EVENT_SIGNAL, EventFault
from stepwell.doors.kit import Answer, Api, Call, Reply, json_response
from stepwell.doors.kit.deciding import check_answer
from stepwell.doors.llama.bodies import read_object, unpacked
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.errors import EndedError, InvalidEventError, fault_text
from stepwell.doors.llama.handlers import Handlers
from stepwell.doors.llama.hosted import Hosted, hosted
from stepwell.doors.llama.plain import ANSWER, read_answer
from stepwell.doors.llama.wire import EventRequest, Sent
from stepwell.engine.events import hears
from stepwell.engine.ids import new_id
from stepwell.store.model import ApprovalQuery

_WRONG_STATUS: Final = "wrong_status"
_NO_VALUE: Final = (
    "Failed to deserialize event: 1 validation error for EventEnvelope\nvalue\n"
    "  Field required [type=missing, input_value={}, input_type=dict]\n"
    "    For further information visit https://errors.pydantic.dev/2/v/missing"
)
"""How clients of this API know that an event has neither `value` nor `data`."""


def declare(api: Api, dialect: Dialect) -> None:
    """Declare the operation."""

    @api.post(
        f"{dialect.prefix}/events/{{handler_id}}",
        summary="Send an event to a run",
        bodies={"application/json": EventRequest},
        answers={200: Answer(type=Sent, meaning="the event is on disk")},
        fails={
            400: "the event is wrong",
            404: "there is no such handler",
            409: "the run has ended",
            **({500: "the body is no JSON object"} if dialect.failed_is_text else {}),
        },
        keyed=False,
    )
    async def post_event(call: Call) -> Response:
        async def work() -> Response:
            await _post(call, dialect)
            return json_response(Reply(body=Sent()))

        return await call.once(await call.body(), work)


async def _post(call: Call, dialect: Dialect) -> None:
    state = await _open_run(call, dialect) if dialect.looks_first else None
    body = await read_object(call, of="event")
    event, step = unpacked(body.get("event")), body.get("step")
    if not event:
        raise InvalidEventError("Event data is required")
    if step is not None and not isinstance(step, str):
        raise InvalidEventError("Failed to send event: step: expected the name of a step")
    state = state if state is not None else await _open_run(call, dialect)
    workflow = await _workflow_of(call, state)
    if isinstance(event, dict) and not event.keys() & {"value", "data"}:
        raise InvalidEventError(_NO_VALUE.format(repr(event) if len(repr(event)) < 50 else "{...}"))
    try:
        found = workflow.face.read_event(event, step)
    except EventFault as fault:
        raise InvalidEventError(fault_text(fault)) from None
    try:
        if workflow.is_typed:
            await call.engine.signal(state.run_id, EVENT_SIGNAL, found, actor=call.actor)
        else:
            await _tell(call, state, found["type"], found["value"])
    except RefusedError as refusal:
        if refusal.code == _WRONG_STATUS and refusal.status in TERMINAL:  # it has ended meanwhile
            raise EndedError from None
        raise


async def _open_run(call: Call, dialect: Dialect) -> State:
    """The run that the path names. Raises `HandlerMissingError`, `EndedError`."""
    state = await Handlers(call.engine, call.principal).open(call.path("handler_id"), dialect)
    if state.status in TERMINAL:
        raise EndedError
    return state


async def _workflow_of(call: Call, state: State) -> Hosted:
    try:
        definition = await call.engine.workflows.find(state.workflow, state.version)
        compiled = await call.engine.workflows.compiled(state.definition)
    except StepwellError:
        text = f"Failed to send event: this server does not know the workflow {state.workflow!r}"
        raise InvalidEventError(text) from None
    return hosted(state.workflow, definition, compiled)


async def _tell(call: Call, state: State, type: str, value: dict[str, Any]) -> None:
    """An event for a run without typed ones: an answer to an approval, or a CloudEvent that it may listen for."""
    if type == ANSWER:
        await _answer(call, state, value)
        return
    id = new_id(call.now)
    event = {
        "specversion": "1.0",
        "id": id,
        "source": "/events",
        "type": type,
        "datacontenttype": "application/json",
        "data": value,
    }
    for signal in dict.fromkeys(listen.signal for listen in state.listens if hears(listen, event)):
        await call.engine.signal(state.run_id, signal, event, id=id, actor=call.actor)


async def _answer(call: Call, state: State, value: dict[str, Any]) -> None:
    """Decide an approval of the run: the one that is named, else the one that is pending."""
    try:
        answer = read_answer(value)
    except EventFault as fault:
        raise InvalidEventError(fault_text(fault)) from None
    pending = await call.engine.approvals(ApprovalQuery(run_id=state.run_id))
    found = [row for row in pending if answer.approval_id in (None, row.approval_id)]
    if len(found) != 1:
        text = f"{ANSWER}: expected one pending approval, found {len(found)}"
        raise InvalidEventError(f"Failed to send event: {text}")
    await check_answer(call, found[0], answer.data)
    await call.engine.decide_approval(
        state.run_id,
        found[0].approval_id,
        approved=answer.approved,
        comment=answer.comment,
        data=answer.data,
        via="llama",
        actor=call.actor,
    )
