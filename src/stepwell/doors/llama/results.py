"""How one run stands, and its result when it has ended."""

from starlette.responses import PlainTextResponse, Response

from stepwell.core.status import TERMINAL, Status
from stepwell.doors.kit import Answer, Api, Call, Reply, json_response
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.errors import UnreadableError
from stepwell.doors.llama.handlers import Handlers
from stepwell.doors.llama.mapping import handler_of
from stepwell.doors.llama.reading import Reader
from stepwell.doors.llama.wire import Handler, ReadableHandler


def declare(api: Api, dialect: Dialect) -> None:
    """Declare the operations."""
    kind = ReadableHandler if dialect.tells_readable else Handler
    answers = {
        200: Answer(type=kind, meaning="the run has completed"),
        202: Answer(type=kind, meaning="it has not ended yet"),
    }
    fails = {404: "there is no such handler"}
    if dialect.failed_is_text:
        fails[500] = "the run failed"
    else:
        answers[500] = Answer(type=kind, meaning="the run failed or was cancelled")
        fails[422] = "the class of the result is not known any more"

    @api.get(
        f"{dialect.prefix}/results/{{handler_id}}",
        summary="Get the result of a run",
        answers=answers,
        fails=fails,
    )
    async def get_result(call: Call) -> Response:
        """The result is its value."""
        return await _answer(call, dialect, plain_result=True)

    if not dialect.envelopes:
        return

    @api.get(f"{dialect.prefix}/handlers/{{handler_id}}", summary="Get a handler", answers=answers, fails=fails)
    async def get_handler(call: Call) -> Response:
        """The result is the envelope of the run's last event."""
        return await _answer(call, dialect, plain_result=False)


async def _answer(call: Call, dialect: Dialect, *, plain_result: bool) -> Response:
    handlers = Handlers(call.engine, call.principal)
    handler_id = call.path("handler_id")
    state = await handlers.open(handler_id, dialect)
    found = await Reader(call.engine, handlers, dialect).shown(state, handler_id=handler_id)
    if state.phase is Status.FAILED and dialect.failed_is_text:
        return PlainTextResponse(f"Error getting workflow result: {found.error}", 500)
    if found.unreadable:
        raise UnreadableError(found.last.qualified_name if found.last is not None else "")
    status = 200 if state.phase is Status.COMPLETED else 500 if state.status in TERMINAL else 202
    return json_response(Reply(body=handler_of(found, dialect, plain_result=plain_result), status=status))
