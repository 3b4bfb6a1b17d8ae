"""Who looks at a page, for as long as it is open: a key that was revoked is noticed, and every command asks anew."""

import time
from typing import Any, Final

import msgspec
from starlette.requests import Request

from stepwell.console.desk import DESK, Desk
from stepwell.core.errors import StepwellError, StorageError
from stepwell.core.history import Actor, RunCreated
from stepwell.core.principal import Principal
from stepwell.doors.kit.seeing import created_of, storage_text
from stepwell.engine import Engine
from stepwell.security.middleware import actor_of, call_of, principal_of
from stepwell.security.refusals import Refusal

LOOK_AGAIN_S: Final = 5.0
"""How long an open page trusts a credential without looking it up again."""


class SignedOutError(StepwellError):
    """The credential that a page was opened with is good no more."""


class NotAllowedError(StepwellError):
    """The credential may look and not change anything."""

    def __str__(self) -> str:
        return "this credential may read, and not change anything"


class Visitor:
    """One open page's principal, and the engine as that principal sees it."""

    def __init__(self, request: Request) -> None:
        self.desk: Desk = request.scope[DESK]
        self.engine: Engine = self.desk.engine
        self.principal: Principal = principal_of(request)
        self._ip = actor_of(request).ip
        # The page itself is read again: whether it may change something is asked of each action.
        self._call = msgspec.structs.replace(call_of(request.scope), method="GET", websocket=False)
        self._looked_at = time.monotonic()

    @property
    def actor(self) -> Actor:
        """How the history names it."""
        return self.principal.actor(self._ip)

    @property
    def sees(self) -> str | None:
        """The owner whose runs it sees; None: everybody's."""
        return self.principal.sees

    async def look(self) -> None:
        """See now and then that it is still let in. Raises `SignedOutError`, `StorageError`."""
        if time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            await self._ask()

    async def may_act(self) -> None:
        """That it may change something now. Raises `SignedOutError`, `NotAllowedError`, `StorageError`."""
        await self._ask()
        if not self.principal.may("write"):
            raise NotAllowedError

    async def _ask(self) -> None:
        found = await self.desk.authenticate(self._call)
        if isinstance(found, Refusal):
            if found.status >= 500:
                raise StorageError(found.detail, told=found.detail)
            raise SignedOutError(found.detail)
        self.principal = found
        self._looked_at = time.monotonic()

    async def created(self, run_id: str) -> RunCreated:
        """How a run began that it may see. Raises `RunNotFoundError`."""
        return await created_of(self.engine, self.principal, run_id)


def text_of(fault: Exception, principal: Principal) -> str:
    """What a person is told of a refusal."""
    if isinstance(fault, StorageError):
        return storage_text(fault, principal)
    return str(getattr(fault, "message", "") or fault)


def as_dict(value: Any) -> dict[str, Any]:
    """What a page sent, which can be anything: its members, or none."""
    return value if isinstance(value, dict) else {}
