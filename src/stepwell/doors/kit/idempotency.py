"""Idempotency keys: the same request twice is done once, and answered twice.

A key belongs to its principal, method and path. A record keeps its SHA-256, a fingerprint of the request and, when it
is done, the answer, for a day. Making the record is the lock. A record that is pending while nobody here works on it
is left from a crash: the next request with the key does the work again, under the same start key, so that a run that
was started is found and not started twice.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from stepwell.core.errors import StorageError
from stepwell.core.principal import Principal
from stepwell.doors.kit.answers import Unfinished
from stepwell.doors.kit.faults import Fault, InvalidRequestError, KeyPendingError, KeyReusedError
from stepwell.engine.clock import Clock
from stepwell.store.model import Record
from stepwell.store.port import Documents

log = structlog.get_logger()
KIND: Final = "idempotency"
NAMES: Final = (b"idempotency-key", b"x-idempotency-key")
REPLAYED: Final = "Idempotency-Replayed"
MAX_KEY: Final = 255
KEPT_S: Final = 24 * 3600.0
WAIT_S: Final = 10.0
"""How long a repeat waits for the first answer before it is told to come again."""
PRUNE_EVERY_S: Final = 600.0
_PAGE: Final = 500
_NOT_KEPT: Final = ("content-length", "x-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", REPLAYED.lower())

Work = Callable[[str], Awaitable[Response]]
"""Does what was asked for, given a start key: the same for every repeat of the request."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response as it is kept."""

    status: int
    headers: dict[str, str]
    body: str

    def again(self) -> Response:
        """The same response, marked as a repeat."""
        return Response(self.body, self.status, {**self.headers, REPLAYED: "true"})


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a record holds. `state` is pending, completed or failed (a refusal that stays one)."""

    fingerprint: str
    began_at: float
    state: str = "pending"
    answer: Answer | None = None

    def start_key(self, id: str) -> str:
        """Under which a run is started: another one when the key is used anew after a day."""
        return f"{id}@{self.began_at:.3f}"


def key_of(headers: Headers) -> str | None:
    """The idempotency key of a request. Raises `InvalidRequestError`."""
    found = {value.decode("latin-1").strip() for name, value in headers.raw if name in NAMES}
    if not found:
        return None
    key = min(found)
    if len(found) > 1:
        raise _fault("expected one key, found several")
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise _fault(f"expected 1 to {MAX_KEY} printable ASCII characters, found others")
    return key


def _fault(message: str) -> InvalidRequestError:
    return InvalidRequestError([Fault(path=("Idempotency-Key",), message=message)])


def record_id(key: str, *, principal: Principal, method: str, path: str) -> str:
    """The id of a key's record: SHA-256 of whose key it is, for what, and itself."""
    parts = (principal.owner, principal.id, principal.organisation, method, path, key)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def fingerprint_of(*parts: bytes) -> str:
    """What tells one request from another under the same key."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


class Once:
    """Does requests with a key once. One per server: it knows what is being done in this process."""

    def __init__(self, documents: Documents, clock: Clock, *, wait_s: float = WAIT_S) -> None:
        self._documents = documents
        self._clock = clock
        self._wait_s = wait_s
        self._working: dict[tuple[str, str], asyncio.Future[Answer | None]] = {}

    async def answer(self, id: str, fingerprint: str, work: Work) -> Response:
        """The response of `work`, or the one that an earlier request with this key got.

        A repeat that comes while the first is at work waits for it. Raises `KeyReusedError`, `KeyPendingError`.
        """
        while (first := self._working.get((id, fingerprint))) is not None:
            answer = await self._wait_for(first)
            if answer is not None:
                return answer.again()
        done = self._working[id, fingerprint] = asyncio.get_running_loop().create_future()
        try:
            return await self._first(id, fingerprint, work, done)
        finally:
            self._let_go(id, fingerprint, done)

    def let_repeats(self, id: str, fingerprint: str) -> None:
        """What is under way can be found by its start key from now on: repeats need not wait for the first answer."""
        done = self._working.get((id, fingerprint))
        if done is not None:
            self._let_go(id, fingerprint, done)

    def _let_go(self, id: str, fingerprint: str, done: "asyncio.Future[Answer | None]") -> None:
        if self._working.get((id, fingerprint)) is done:  # not the one of a repeat
            del self._working[id, fingerprint]
        if not done.done():
            done.set_result(None)

    async def _wait_for(self, first: asyncio.Future[Answer | None]) -> Answer | None:
        """The answer of the first; None when it has none to give to others."""
        done, _ = await asyncio.wait({first}, timeout=self._wait_s)
        if not done:
            raise KeyPendingError
        return first.result()

    async def _first(self, id: str, fingerprint: str, work: Work, done: asyncio.Future[Answer | None]) -> Response:
        record, kept = await self._claim(id, fingerprint)
        if kept.answer is not None:
            done.set_result(kept.answer)  # nothing has let it go: no work was begun
            return kept.answer.again()
        response = await work(kept.start_key(id))
        answer = _kept(response)
        if answer is not None and _is_final(answer.status):
            await self._keep(record, kept, answer)
        if not done.done():
            done.set_result(answer)
        return response

    async def _keep(self, record: Record, kept: Kept, answer: Answer) -> None:
        """Keep the answer. What was asked for is done: it is answered also when this cannot be written."""
        state = "completed" if answer.status < 400 else "failed"
        try:
            await self._put(record, msgspec.structs.replace(kept, state=state, answer=answer))
        except StorageError as fault:
            log.warning("idempotency.answer_not_kept", error=str(fault))

    async def _claim(self, id: str, fingerprint: str) -> tuple[Record, Kept]:
        """The key's record, made or taken over by us, or with its answer. Raises `KeyReusedError`."""
        while True:
            now = self._clock.now()
            fresh = Kept(fingerprint=fingerprint, began_at=now)
            record = Record(kind=KIND, id=id, data=msgspec.to_builtins(fresh), due_at=now + KEPT_S)
            if await self._documents.put_record(record, expect_version=0):
                return record, fresh
            found = await self._documents.get_records(KIND, id=id)
            if not found:
                continue
            kept = msgspec.convert(found[0].data, Kept)
            if (found[0].due_at or 0) <= now:
                kept = fresh  # a day later the key is free again
            elif kept.fingerprint != fingerprint:
                raise KeyReusedError
            elif kept.answer is not None:
                return found[0], kept
            taken = msgspec.structs.replace(found[0], due_at=kept.began_at + KEPT_S)
            if (mine := await self._put(taken, kept)) is not None:
                return mine, kept

    async def _put(self, record: Record, kept: Kept) -> Record | None:
        """Write over that version of the record; None when somebody else has written since."""
        changed = msgspec.structs.replace(record, version=record.version + 1, data=msgspec.to_builtins(kept))
        return changed if await self._documents.put_record(changed, expect_version=record.version) else None


def _kept(response: Response) -> Answer | None:
    """What is kept of a response; None of a stream or a wait, which are done again (of the same run)."""
    body: Any = getattr(response, "body", None)
    if not isinstance(body, bytes) or isinstance(response, Unfinished):
        return None
    headers: Mapping[str, str] = {
        name: value for name, value in response.headers.items() if name.lower() not in _NOT_KEPT
    }
    return Answer(status=response.status_code, headers=dict(headers), body=body.decode())


def _is_final(status: int) -> bool:
    """Whether trying again could only give the same: not so when the fault was ours, or it was too much at once."""
    return status < 500 and status != 429


class ForgetKeys:
    """A duty: drops the records of keys a day after their first request."""

    name = "forget-keys"

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def run_once(self, now: float) -> float:
        found = await self._documents.get_records(KIND, due_by=now, limit=_PAGE)
        for record in found:
            await self._documents.drop_record(KIND, record.id)
        return 0.0 if len(found) == _PAGE else PRUNE_EVERY_S
