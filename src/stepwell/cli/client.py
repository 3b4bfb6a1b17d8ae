"""What the commands ask for, of a database's engine or of a server alike."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from stepwell.core import commands as c
from stepwell.core.chain import Verified
from stepwell.core.history import SYSTEM, Actor
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.engine import Schedule, Seen
from stepwell.store.model import ApprovalQuery, ApprovalRow, RunQuery, RunRow


class Client(Protocol):
    """`stepwell.engine.Engine` is one; `stepwell.cli.remote.Remote` is the other, where the server says who acts.

    Every method raises `StepwellError` with a sentence for the person at the terminal.
    """

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRow]: ...

    async def state(self, run_id: str) -> State: ...

    async def status(self, run_id: str) -> Status: ...

    def watch(self, run_id: str) -> AsyncIterator[Seen]: ...

    async def verify(self, run_id: str) -> Verified: ...

    async def tell(self, run_id: str, command: c.OutsideCommand) -> bool: ...

    async def signal(
        self, run_id: str, signal: str, data: Any = None, *, id: str | None = None, actor: Actor = SYSTEM
    ) -> None: ...

    async def approvals(self, query: ApprovalQuery | None = None) -> list[ApprovalRow]: ...

    async def decide_approval(
        self,
        run_id: str,
        approval_id: str,
        *,
        approved: bool,
        comment: str = "",
        data: Any = None,
        actor: Actor = SYSTEM,
    ) -> bool: ...

    async def send_event(self, event: Any) -> None: ...

    async def schedule(self, workflow: str, input: Any = None, **rule: Any) -> Schedule: ...

    async def pause_schedule(self, id: str, *, paused: bool = True) -> Schedule: ...

    async def unschedule(self, id: str) -> None: ...

    async def list_schedules(self) -> list[Schedule]: ...
