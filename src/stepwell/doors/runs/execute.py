"""Blocking execution: the run is started on disk, then waited for, then shown.

The wait ends with the run, with the time that the server or the client (`Prefer: wait=N`, RFC 7240 §4.3) allows, when
the client has gone, or when the server stops. Only a client that has gone may take the run along, if it asked for it.
Whatever is answered once there is a run, a failure too, names it.
"""

import asyncio
import re
from contextlib import suppress
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepwell.core.errors import RefusedError
from stepwell.doors.kit import Answer, Call, Reply, Unfinished, json_response, wait_for_end
from stepwell.doors.runs.api import RUNS, api
from stepwell.doors.runs.kept_alive import KeptAlive
from stepwell.doors.runs.mapping import executed
from stepwell.doors.runs.orders import JSON, ExecuteForm, Order, read_order
from stepwell.doors.runs.parts import MULTIPART
from stepwell.doors.runs.statuses import ENDED
from stepwell.doors.runs.wire import Executed, ExecuteRequest

RUN_ID: Final = "X-Workflow-Run-Id"
RETRY_AFTER_S: Final = 5
SHORT_S: Final = 1.0
"""While a run may still be a short one, nobody looks whether its client is there: that costs three tasks. On a busy
server short runs, too, take their time."""
DISCONNECTED: Final = "the client that started it has gone"
_WAIT: Final = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_NO_WAIT: Final = "respond-async"


@api.post(
    f"{RUNS}/execute",
    summary="Execute a workflow and wait for its end",
    bodies={MULTIPART: ExecuteForm, JSON: ExecuteRequest},
    keyed=False,
    headers={"Prefer": "wait=N: wait at most N seconds; respond-async: do not wait"},
    answers={
        200: Answer(type=Executed, meaning="the run has ended", headers={RUN_ID: "the run's id"}),
        202: Answer(
            type=Executed,
            meaning="the run goes on",
            headers={RUN_ID: "the run's id", "Location": "where it is shown", "Retry-After": "seconds to wait"},
        ),
    },
    fails={400: "an input is wrong", 404: "there is no such workflow", 413: "a file or field is too large"},
)
async def execute(call: Call) -> Response:
    """The run exists before the wait begins, and goes on when the client has gone, unless `onDisconnect` is `cancel`.

    That a run failed is told in the body: the call itself has worked.
    """
    order = await read_order(call)
    most_s = wait_s(call.request, call.request.app.state.execute_wait_s)
    keep_alive_s: float = call.request.app.state.execute_keep_alive_s
    short_s = min(most_s, SHORT_S, keep_alive_s or SHORT_S)

    async def start_and_wait() -> Response:
        with call.engine.watchers.keeping(order.run_id):  # so that nothing has to be read to show a short run
            run_id = await order.start(call)
            call.started()
            try:
                if await _ends_soon(call, run_id, short_s):
                    return _answer(await _shown(call, order, run_id), run_id)
            except Exception as fault:  # noqa: BLE001  as at every operation; here there is a run to be named
                return _failed(call, run_id, fault)
        left_s = most_s - short_s
        if keep_alive_s and left_s > 0:
            return _kept_alive(call, order, run_id, left_s=left_s, every_s=keep_alive_s)
        try:
            await _wait(call, order, run_id, left_s=left_s)
            return _answer(await _shown(call, order, run_id), run_id)
        except Exception as fault:  # noqa: BLE001  as above
            return _failed(call, run_id, fault)

    return await order.once(call, start_and_wait)


async def _ends_soon(call: Call, run_id: str, most_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await call.engine.ended(run_id)
        return True
    return False


async def _wait(call: Call, order: Order, run_id: str, *, left_s: float) -> None:
    """Until the run has ended, the time is up, the client has gone, or the server stops."""
    waited = await wait_for_end(call, run_id, most_s=max(0.0, left_s))
    if waited.gone and order.cancels_on_disconnect:
        await cancel_quietly(call, run_id)


def _kept_alive(call: Call, order: Order, run_id: str, *, left_s: float, every_s: float) -> Response:
    """The head goes out now, with status 200: that the time is up is told by the status of the run."""

    async def body() -> bytes:
        try:
            await _wait(call, order, run_id, left_s=left_s)
            return msgspec.json.encode(await _shown(call, order, run_id))
        except Exception as fault:  # noqa: BLE001  as above; the status is on its way already
            return bytes(_failed(call, run_id, fault).body)

    return KeptAlive(body, every_s=every_s, headers={RUN_ID: run_id, "Location": f"{RUNS}/{run_id}"})


async def _shown(call: Call, order: Order, run_id: str) -> Executed:
    return executed(await call.engine.view(run_id), order.startable.plan)


def _answer(body: Executed, run_id: str) -> Response:
    if body.workflow_run.status in ENDED:
        return json_response(Reply(body=body, headers={RUN_ID: run_id}))
    headers = {RUN_ID: run_id, "Location": f"{RUNS}/{run_id}", "Retry-After": str(RETRY_AFTER_S)}
    return json_response(Reply(body=body, status=202, headers=headers), Unfinished)


def _failed(call: Call, run_id: str, fault: Exception) -> Response:
    """We cannot tell how the run stands, but which it is."""
    response = api.errors.answer(call.request.scope, fault)
    response.headers[RUN_ID] = run_id
    return response


def wait_s(request: Request, most_s: float) -> float:
    """How long to wait: what the client prefers, `most_s` at most."""
    preferred = request.headers.getlist("prefer")
    if any(_NO_WAIT in line.lower() for line in preferred) and not any(_WAIT.search(line) for line in preferred):
        return 0.0
    found = next((match[1] for line in preferred if (match := _WAIT.search(line))), None)
    return most_s if found is None else min(most_s, float(found))


async def cancel_quietly(call: Call, run_id: str) -> None:
    """Cancel a run whose client has gone, unless it has ended meanwhile."""
    with suppress(RefusedError):
        await call.engine.cancel(run_id, reason=DISCONNECTED, actor=call.actor)
