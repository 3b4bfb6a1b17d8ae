"""`/api/v1/workflow-callbacks`: whoever was handed a token says how the work stands. The token is the credential."""

from typing import Any, Final

import msgspec
from msgspec import Raw

from stepwell.core import commands as c
from stepwell.core.errors import RunNotFoundError
from stepwell.core.history import Actor
from stepwell.doors.agents import wire
from stepwell.doors.agents.api import api
from stepwell.doors.kit import Answer, Call, MissingError, Reply
from stepwell.engine.ids import canonical_uuid
from stepwell.programs.callbacks import PATH, run_of, signal_of
from stepwell.security.loopback import address_of

ALL: Final = PATH.rstrip("/")

_FAILS: Final = {
    404: "nobody waits for this token: it is unknown, has expired, or its run has ended",
    409: "it was answered otherwise before",
}
_ANSWERS: Final = {200: Answer(type=wire.Accepted, meaning="taken; the same answer again changes nothing")}


@api.post(f"{PATH}{{token}}", summary="Answer a callback", keyed=False, answers=_ANSWERS, fails=_FAILS)
async def answer_callback(call: Call, body: wire.AnswerCallback) -> Reply:
    """A heartbeat moves the heartbeat's deadline and nothing else: the total time-out stands."""
    return await _answer(call, call.path("token"), body)


@api.post(
    ALL,
    summary="Answer a callback, with the token in Authorization",
    keyed=False,
    headers={"Authorization": "Bearer, and the token"},
    answers=_ANSWERS,
    fails=_FAILS,
)
async def answer_bearer(call: Call, body: wire.AnswerCallback) -> Reply:
    """As with the token in the path, which ends up in the logs of proxies."""
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    return await _answer(call, token.strip() if scheme.lower() == "bearer" else "", body)


async def _answer(call: Call, token: str, body: wire.AnswerCallback) -> Reply:
    """Raises `MissingError`, which repeats nothing of the token, and `RefusedError`."""
    run_id, signal = run_of(token), signal_of(token)
    actor = Actor(type="callback", id="callback", ip=_address(call))
    command: c.AnswerCallback | c.SendHeartbeat
    if body.status == "heartbeat":
        command = c.SendHeartbeat(signal=signal, progress=body.progress, actor=actor)
    else:
        command = c.AnswerCallback(signal=signal, data=Raw(msgspec.json.encode(_outcome(body))), actor=actor)
    if canonical_uuid(run_id) is None:
        raise MissingError("callback with this token", "")
    try:
        await call.engine.tell(run_id, command)
    except RunNotFoundError:
        raise MissingError("callback with this token", "") from None
    return Reply(body=wire.Accepted())


def _address(call: Call) -> str:
    """Where the answer came from: there is no principal to name."""
    client = call.request.client
    return str(address_of(client.host) or "") if client is not None else ""


def _outcome(body: wire.AnswerCallback) -> dict[str, Any]:
    """What the waiting step gets."""
    if body.status == "completed":
        return {"status": "completed", "output": body.output}
    error = wire.CallbackError(message=body.error) if isinstance(body.error, str) else body.error
    return {"status": "failed", "error": msgspec.to_builtins(error or wire.CallbackError())}
