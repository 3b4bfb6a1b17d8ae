"""Cancelling runs, and forgetting handlers."""

from stepwell.core.errors import RefusedError
from stepwell.core.status import TERMINAL
from stepwell.doors.kit import Answer, Api, Call, Reply
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.errors import HandlerMissingError
from stepwell.doors.llama.handlers import Handlers
from stepwell.doors.llama.wire import Cancelled, CancelQuery, is_true


def declare(api: Api, dialect: Dialect) -> None:
    """Declare the operation."""

    @api.post(
        f"{dialect.prefix}/handlers/{{handler_id}}/cancel",
        summary="Cancel a run, or forget its handler",
        answers={200: Answer(type=Cancelled)},
        fails={404: "there is no such handler"},
    )
    async def cancel_handler(call: Call, query: CancelQuery) -> Reply:
        """With `purge` the handler is forgotten too: this API does not show the run any more. Its history is kept."""
        handlers = Handlers(call.engine, call.principal)
        if is_true(query.purge):
            state = await handlers.find(call.path("handler_id"))
            await _cancel(call, state.run_id)
            await handlers.drop(state.run_id)
            return Reply(body=Cancelled(status="deleted"))
        state = await handlers.open(call.path("handler_id"), dialect)
        if not await _cancel(call, state.run_id):
            if not dialect.cancel_lets_go:
                raise HandlerMissingError
            await handlers.drop(state.run_id, closed=True)
        return Reply(body=Cancelled(status="cancelled"))


async def _cancel(call: Call, run_id: str) -> bool:
    """Whether it was running until now."""
    state = await call.engine.state(run_id)
    if state.status in TERMINAL:
        return False
    try:
        return await call.engine.cancel(run_id, actor=call.actor)
    except RefusedError as refusal:
        if refusal.status not in TERMINAL:
            raise
        await call.engine.result(run_id)  # it has ended meanwhile: as soon as that is on disk
        return False
