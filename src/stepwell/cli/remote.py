"""A server as a client of the commands: the remote door over HTTP. Who acts is who the key or token says."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from stepwell.core import commands as c
from stepwell.core.chain import Verified
from stepwell.core.errors import StepwellError
from stepwell.core.history import SYSTEM, Actor, AnyEvent, LateResultDiscarded
from stepwell.core.run import fold
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.engine import Schedule, Seen
from stepwell.engine.watching import LAST
from stepwell.store.model import ApprovalQuery, ApprovalRow, RunQuery, RunRow

PATH: Final = "/api/v1/remote"
CLOUDEVENTS: Final = "/api/v1/cloudevents"
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
"""For streams too: they have a ping every 9 s, so that one that is silent for so long is dead."""
PATIENCE: Final = 30
"""How often, a second apart, a stream that broke off is asked for again before the command gives up."""
PAUSE_S: Final = 1.0
_VERBS: Final[dict[type[c.Command], str]] = {
    c.PauseRun: "pause",
    c.ResumeRun: "resume",
    c.StopRun: "stop",
    c.CancelRun: "cancel",
    c.RetryRun: "retry",
}

T = TypeVar("T")


class RemoteError(StepwellError):
    """A server that refuses or cannot be reached."""


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    events: list[AnyEvent]
    more: bool


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    changed: bool
    status: Status | None = None


class Remote:
    """A server under `url`, asked with `credential` (an API key or a token, "" for none)."""

    def __init__(self, url: str, credential: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise RemoteError(f"--url: expected an address like http://127.0.0.1:8082, found {url!r}")
        self._url = url.rstrip("/")
        self._stands: dict[str, Status | None] = {}
        if not (credential.isascii() and credential.isprintable()):
            raise RemoteError("--key: expected an API key or a token, found other characters in it")
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        try:
            self._http = httpx.AsyncClient(base_url=self._url, headers=headers, timeout=TIMEOUT)
        except httpx.InvalidURL as fault:
            raise RemoteError(f"--url: {fault}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    # --- runs -------------------------------------------------------------------------------------------------------

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRow]:
        wanted = query if query is not None else RunQuery()
        asked: dict[str, Any] = {
            "status": [str(status) for status in wanted.statuses],
            "workflow": list(wanted.workflows),
            "search": wanted.search,
            "before": wanted.before or "",
            "limit": wanted.limit,
        }
        return await self._ask("GET", f"{PATH}/runs", list[RunRow], params=asked)

    async def state(self, run_id: str) -> State:
        state, more = State(), True
        while more:
            page = await self._ask("GET", f"{_run(run_id)}/history", _Page, params={"after": state.seq})
            state, more = fold(page.events, state), page.more
        return state

    async def status(self, run_id: str) -> Status:
        """As the server said it with the last command; it is asked where there was none."""
        return self._stands.pop(run_id, None) or (await self.state(run_id)).status

    async def watch(self, run_id: str) -> AsyncIterator[Seen]:
        """Until the run has ended. A stream that breaks off is asked for again, from where it was."""
        place, ended, tried = "", False, 0
        while True:
            fault: httpx.TransportError | None = None
            try:
                async for seen in self._stream(run_id, place):
                    place, tried = f"{seen.seq}.{seen.item_number}", 0
                    if seen.event is not None and not isinstance(seen.event, LateResultDiscarded):  # as `Watchers` do
                        ended = isinstance(seen.event, LAST)
                    yield seen
            except httpx.TransportError as lost:
                fault = lost
            if ended:
                return
            if tried >= PATIENCE or (fault is not None and not place):
                raise self._unreachable(fault)
            tried += 1
            await asyncio.sleep(PAUSE_S)

    async def _stream(self, run_id: str, place: str) -> AsyncIterator[Seen]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": place} if place else {})}
        async with self._http.stream("GET", f"{_run(run_id)}/history", headers=headers) as answer:
            if answer.is_error:
                await answer.aread()
                self._refuse(answer)
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield self._decoded(line.removeprefix("data:").encode(), Seen)

    async def verify(self, run_id: str) -> Verified:
        return await self._ask("GET", f"{_run(run_id)}/verification", Verified)

    async def tell(self, run_id: str, command: c.OutsideCommand) -> bool:
        body = {"command": _VERBS[type(command)], "reason": getattr(command, "reason", "")}
        told = await self._ask("POST", f"{_run(run_id)}/commands", _Told, json=body)
        self._stands[run_id] = told.status
        return told.changed

    async def signal(
        self,
        run_id: str,
        signal: str,
        data: Any = None,
        *,
        id: str | None = None,
        actor: Actor = SYSTEM,  # noqa: ARG002  # the server knows who asks
    ) -> None:
        body = {"signal": signal, "data": data, "id": id}
        self._stands[run_id] = (await self._ask("POST", f"{_run(run_id)}/signals", _Told, json=body)).status

    # --- approvals and events ---------------------------------------------------------------------------------------

    async def approvals(self, query: ApprovalQuery | None = None) -> list[ApprovalRow]:
        wanted = query if query is not None else ApprovalQuery()
        asked = {"run_id": wanted.run_id or "", "limit": wanted.limit}
        return await self._ask("GET", f"{PATH}/approvals", list[ApprovalRow], params=asked)

    async def decide_approval(
        self,
        run_id: str,  # noqa: ARG002  # an approval's id is enough
        approval_id: str,
        *,
        approved: bool,
        comment: str = "",
        data: Any = None,
        actor: Actor = SYSTEM,  # noqa: ARG002  # the server knows who asks
    ) -> bool:
        body = {"approved": approved, "comment": comment, "data": data}
        return (await self._ask("POST", f"{PATH}/approvals/{quote(approval_id)}/decision", _Told, json=body)).changed

    async def send_event(self, event: Any) -> None:
        headers = {"Content-Type": "application/cloudevents+json"}
        await self._ask("POST", CLOUDEVENTS, Any, content=msgspec.json.encode(event), headers=headers)

    # --- schedules --------------------------------------------------------------------------------------------------

    async def schedule(self, workflow: str, input: Any = None, **rule: Any) -> Schedule:
        body = {"workflow": workflow, "input": input, **rule}
        return await self._ask("POST", f"{PATH}/schedules", Schedule, json=body)

    async def pause_schedule(self, id: str, *, paused: bool = True) -> Schedule:
        verb = "pause" if paused else "resume"
        return await self._ask("POST", f"{PATH}/schedules/{quote(id, safe='')}/{verb}", Schedule)

    async def unschedule(self, id: str) -> None:
        await self._ask("DELETE", f"{PATH}/schedules/{quote(id, safe='')}", Any)

    async def list_schedules(self) -> list[Schedule]:
        return await self._ask("GET", f"{PATH}/schedules", list[Schedule])

    # --- HTTP -------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str, wanted: type[T], **request: Any) -> T:
        try:
            answer = await self._http.request(method, path, **request)
        except httpx.TransportError as fault:
            raise self._unreachable(fault) from None
        if not answer.is_success:
            self._refuse(answer)
        return self._decoded(answer.content or b"null", wanted)

    def _decoded(self, content: bytes, wanted: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=wanted)
        except msgspec.DecodeError as fault:
            raise RemoteError(f"{self._url} is no Stepwell server of this version ({fault})") from None

    def _unreachable(self, fault: httpx.TransportError | None) -> RemoteError:
        why = "it ends the stream again and again" if fault is None else fault or type(fault).__name__
        return RemoteError(f"{self._url} cannot be reached ({why}): does the server run?")

    def _refuse(self, answer: httpx.Response) -> None:
        """Raises `RemoteError` with the server's own sentence."""
        try:
            found = msgspec.json.decode(answer.content)
        except msgspec.DecodeError:
            found = None
        said = found.get("detail") if isinstance(found, dict) else None
        if not isinstance(said, str):
            raise RemoteError(
                f"{self._url} answers {answer.status_code}: is it a Stepwell server?", answer.status_code
            )
        hint = ": give a key by STEPWELL_KEY or --key" if answer.status_code == httpx.codes.UNAUTHORIZED else ""
        raise RemoteError(f"{self._url}: {said}{hint}", answer.status_code)


def _run(run_id: str) -> str:
    return f"{PATH}/runs/{quote(run_id, safe='')}"
