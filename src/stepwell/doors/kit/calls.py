"""A request as an operation sees it: who asks, the engine, the path, and the key that makes it happen once."""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from stepwell.core.history import Actor
from stepwell.core.principal import Principal
from stepwell.doors.kit.faults import MissingError
from stepwell.doors.kit.idempotency import Once, fingerprint_of, key_of, record_id
from stepwell.doors.kit.reading import body_of
from stepwell.engine import Engine
from stepwell.engine.ids import canonical_uuid
from stepwell.security.doors import PRINCIPAL
from stepwell.security.middleware import actor_of, principal_of


class Call:
    """One request. `start_key` is what a run that it starts is started under: the same for every repeat; None when
    the request has no idempotency key.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.engine: Engine = request.app.state.engine
        self.start_key: str | None = None
        self._started: Callable[[], None] = _nothing

    @property
    def principal(self) -> Principal:
        """Who asks. There is one on every path that is not open."""
        return principal_of(self.request)

    @property
    def actor(self) -> Actor:
        """How the history names who asks, and from where."""
        return actor_of(self.request)

    @property
    def now(self) -> float:
        return self.engine.clock.now()

    def path(self, name: str) -> str:
        """A part of the path, as it was sent."""
        return str(self.request.path_params[name])

    def id(self, name: str, what: str) -> str:
        """A part of the path that is a UUID, in its usual form. Raises `MissingError` for anything else."""
        text = self.path(name)
        found = canonical_uuid(text)
        if found is None:
            raise MissingError(what, text[:80])
        return found

    async def body(self) -> bytes:
        """The whole body."""
        return await body_of(self.request)

    async def once(self, fingerprint: bytes, work: Callable[[], Awaitable[Response]]) -> Response:
        """What `work` answers; with an idempotency key, only the first time. `fingerprint` tells requests apart.

        On an open path there is nobody whose key it could be: it is left alone there.
        Raises `KeyReusedError`, `KeyPendingError`, `InvalidRequestError` (of the key itself).
        """
        request = self.request
        key = key_of(request.headers)
        if key is None or PRINCIPAL not in request.scope:
            return await work()
        id = record_id(key, principal=self.principal, method=request.method, path=request.url.path)
        whole = fingerprint_of(request.scope["query_string"], fingerprint)
        keyed: Once = request.app.state.once

        async def keyed_work(start_key: str) -> Response:
            self.start_key = start_key
            self._started = partial(keyed.let_repeats, id, whole)
            return await work()

        return await keyed.answer(id, whole, keyed_work)

    def started(self) -> None:
        """The run is on disk under its start key and only waited for from here on: repeats may wait beside us."""
        self._started()


def _nothing() -> None:
    """Without an idempotency key nobody repeats anything."""
