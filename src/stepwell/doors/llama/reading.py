"""What a run is shown with: its row, its output and its last event, without secrets. A listing folds no history."""

from typing import Any

import msgspec

from stepwell.core import history as h
from stepwell.core.errors import Problem, RunNotFoundError, WorkflowNotFoundError
from stepwell.core.program import Compiled, Hiding
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.core.typed import Envelope, EventFault
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.handlers import Handlers
from stepwell.doors.llama.mapping import Shown, error_text, is_stop
from stepwell.engine import Engine
from stepwell.engine.hiding import hiding_of
from stepwell.engine.projections import ended_badly, run_row
from stepwell.store.model import RunRow, StreamItem


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to, and when something happened to it last."""

    at: float
    output: msgspec.Raw = h.NULL
    error: Problem | None = None


class Reader:
    """Reads runs for handlers of one principal. Last events are looked at where the dialect tells of them."""

    def __init__(self, engine: Engine, handlers: Handlers, dialect: Dialect) -> None:
        self._engine = engine
        self._tells_last = dialect.envelopes or dialect.tells_readable
        self._handlers = handlers
        self._compiled: dict[tuple[str, str], Compiled | None] = {}

    async def shown(self, state: State, *, handler_id: str = "") -> Shown:
        """A run as it stands; `handler_id` where it was asked for under one."""
        compiled = await self._engine.compiled(state.definition)
        outcome = Outcome(at=state.last_at, output=state.output, error=ended_badly(state))
        hiding = hiding_of(compiled, state.input)
        return await self._shown(run_row(state), outcome, compiled, hiding, handler_id)

    async def shown_rows(self, rows: list[RunRow]) -> list[Shown]:
        """Those of a page that are handlers, each once."""
        found: dict[str, Shown] = {}
        for row in rows:
            if await self._handlers.is_gone(row.run_id):
                continue
            try:
                one = await self._shown_row(row)
            except RunNotFoundError:  # pruned meanwhile
                continue
            found.setdefault(one.handler_id, one)
        return list(found.values())

    async def _compiled_as(self, workflow: str, version: str) -> Compiled | None:
        """What runs of a version run; None where this process does not know it."""
        key = workflow, version
        if key not in self._compiled:
            try:
                definition = await self._engine.workflows.find(workflow, version)
            except WorkflowNotFoundError:
                self._compiled[key] = None
            else:
                self._compiled[key] = await self._engine.compiled(definition.digest)
        return self._compiled[key]

    async def _shown_row(self, row: RunRow) -> Shown:
        compiled = await self._compiled_as(row.workflow, row.version)
        if compiled is not None and compiled.hiding is not None:  # its secrets are in its input
            return await self.shown(await self._engine.state(row.run_id))
        newest = await self._engine.history(row.run_id, after_seq=max(0, row.seq - 1))
        outcome = _outcome(newest, row)
        if outcome is None:  # something late came after the end
            return await self.shown(await self._engine.state(row.run_id))
        return await self._shown(row, outcome, compiled, None, "")

    async def _shown(
        self, row: RunRow, outcome: Outcome, compiled: Compiled | None, hiding: Hiding | None, handler_id: str
    ) -> Shown:
        completed = row.status is Status.COMPLETED
        output: Any = msgspec.json.decode(outcome.output) if completed else None
        error = outcome.error if hiding is None or outcome.error is None else hiding.problem(outcome.error)
        typed = compiled is None or compiled.typed is not None
        last = await self._last(row.run_id) if completed and typed and self._tells_last else None
        if compiled is None and last is not None and not is_stop(last):  # it never had typed events
            last = None
        return Shown(
            handler_id=handler_id or self._handlers.id_of(row),
            run_id=row.run_id,
            workflow_name=row.workflow_name,
            status=row.status,
            started_at=row.created_at,
            updated_at=outcome.at,
            ended_at=row.ended_at,
            error=error_text(error),
            output=output if hiding is None else hiding.value(output),
            last=last,
            unreadable=last is not None and not _readable(compiled, last),
        )

    async def _last(self, run_id: str) -> Envelope | None:
        items = await self._engine.last_items(run_id, 1)
        return envelope_of(items[-1]) if items else None


def envelope_of(item: StreamItem) -> Envelope | None:
    """An item of the stream of a run of typed events; None when it is something else."""
    try:
        return msgspec.convert(item.data, Envelope)
    except msgspec.ValidationError:
        return None


def _outcome(events: list[h.AnyEvent], row: RunRow) -> Outcome | None:
    """What the newest events say of a run; None when they do not tell how it ended."""
    for event in reversed(events):
        match event:
            case h.RunCompleted():
                return Outcome(at=events[-1].at, output=event.output)
            case h.RunFailed():
                return Outcome(at=events[-1].at, error=event.error)
    ends_here = row.status in (Status.COMPLETED, Status.FAILED)
    return None if ends_here or not events else Outcome(at=events[-1].at)


def _readable(compiled: Compiled | None, envelope: Envelope) -> bool:
    if compiled is None:  # the workflow is gone, and its classes with it
        return False
    try:
        compiled.typed.check_envelope(envelope)
    except EventFault:
        return False
    return True
