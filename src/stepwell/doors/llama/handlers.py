"""Handlers: the names under which this API knows runs, and which run each stands for now.

Most need no record: the id leads to its run (`ids`). Two kinds of records tell the rest. A `handler` is an id that a
client chose, or whose run was continued by another one: it names the newest. A `handler_gone` is a run that is no
handler any more, since it was purged or continued, or one that was let go of (`closed`): it is still listed. The
history is kept as every run's, and the records go with it (`forgetting`).
"""

from typing import Final

import msgspec

from stepwell.core.errors import RunNotFoundError
from stepwell.core.principal import Principal
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.errors import HandlerBusyError, HandlerMissingError
from stepwell.doors.llama.ids import beginning_of, handler_id_of, new_handler_id, run_id_of
from stepwell.engine import Engine
from stepwell.engine.ids import canonical_uuid
from stepwell.store.model import Record, RunQuery, RunRow

HANDLER: Final = "handler"
GONE: Final = "handler_gone"
LABEL: Final = "handler_id"
"""The label of a run whose handler id does not follow from its own."""
STARTING_S: Final = 10.0
"""How long a handler is taken to be starting a run that does not exist yet; after that, its server died."""
MAX_ID: Final = 200


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """A handler id that a run is to start under, and the id that the run is to have.

    `labels` are for the run; `before` is the run that it continues.
    """

    handler_id: str
    run_id: str
    labels: dict[str, str] = {}
    before: str = ""


class Handlers:
    """The handlers of an engine, as one principal sees them: those of others do not exist."""

    def __init__(self, engine: Engine, principal: Principal, *, start_key: str | None = None) -> None:
        self._engine = engine
        self._start_key = start_key
        self._store = engine.store
        self._principal = principal

    async def find(self, handler_id: str) -> State:
        """The run of a handler, one that was let go of too. Raises `HandlerMissingError`."""
        for run_id in await self._runs_of(handler_id):
            state = await self._state(run_id)
            if state is not None and self._principal.may_see(state.owner) and not await self.is_gone(run_id):
                return state
        raise HandlerMissingError

    async def open(self, handler_id: str, dialect: Dialect) -> State:
        """The run of a handler that is shown by itself. Raises `HandlerMissingError`."""
        state = await self.find(handler_id)
        if dialect.cancel_lets_go and (state.phase is Status.CANCELLED or await self._gone(state.run_id)):
            raise HandlerMissingError
        return state

    async def run_id(self, handler_id: str) -> str:
        """The id of a handler's run. Raises `HandlerMissingError`."""
        return (await self.find(handler_id)).run_id

    def id_of(self, run: RunRow | State) -> str:
        """What a run is called here."""
        chosen = run.labels.get(LABEL) if run.owner == self._principal.owner else None
        return chosen or handler_id_of(run.run_id)

    async def is_gone(self, run_id: str) -> bool:
        """Whether the run is no handler any more."""
        record = await self._gone(run_id)
        return record is not None and not record.data.get("closed")

    async def drop(self, run_id: str, *, closed: bool = False) -> None:
        """The run is no handler any more; `closed`: but it is still listed."""
        data = {"closed": True} if closed else {}
        now = self._engine.clock.now()
        await self._store.put_record(Record(kind=GONE, id=run_id, owner=self._principal.owner, data=data, due_at=now))

    async def _gone(self, run_id: str) -> Record | None:
        found = await self._store.get_records(GONE, id=run_id)
        return found[0] if found else None

    # --- starting ---------------------------------------------------------------------------------------------------

    def fresh(self) -> Handle:
        """A handle for a run that stands for itself."""
        while True:
            handler_id = new_handler_id(self._engine.clock.now())
            run_id = run_id_of(handler_id)
            assert run_id is not None, "a fresh handler id is well formed"
            if self._engine.fits(run_id, owner=self._principal.owner, start_key=self._start_key):
                return Handle(handler_id=handler_id, run_id=run_id)

    async def adopt(self, handler_id: str) -> Handle:
        """A handle for a run that is to be known by an id that nothing is known by. Raises `HandlerBusyError`."""
        return await self._take(handler_id, before="")

    async def go_on(self, handler_id: str, before: str) -> Handle:
        """A handle for the run that takes the place of an ended one. Raises `HandlerBusyError`: another one does."""
        return await self._take(handler_id, before=before)

    async def begun(self, handler_id: str) -> Handle | None:
        """The handle that this request took when it came before, with the same start key, if its run exists."""
        record = await self._record(handler_id)
        if record is None or not self._is_ours(record) or await self._state(record.data["run_id"]) is None:
            return None
        handle = _taken(handler_id, record)
        await self.began(handle)  # the server may have died before it could
        return handle

    async def give_back(self, handle: Handle) -> None:
        """There will be no run of a handle: the id stands for what it stood for before."""
        record = await self._record(handle.handler_id) if handle.labels else None
        if record is None or record.data["run_id"] != handle.run_id or await self._state(handle.run_id) is not None:
            return
        if not handle.before:
            await self._store.drop_record(HANDLER, record.id)
            return
        data = {**record.data, "run_id": handle.before, "before": "", "start_key": None}
        again = msgspec.structs.replace(record, version=record.version + 1, data=data)
        await self._store.put_record(again, expect_version=record.version)

    async def began(self, handle: Handle) -> None:
        """The run of a handle exists: the one before gives way to it."""
        if handle.before:
            await self.drop(handle.before)

    async def _take(self, handler_id: str, *, before: str) -> Handle:
        record = await self._record(handler_id)
        if record is not None and self._is_ours(record):  # the server died before it could start the run
            return _taken(handler_id, record)
        if record is not None and await self._stands_for_another(record, before):
            raise HandlerBusyError(handler_id)
        now = self._engine.clock.now()
        run_id = self._engine.new_run_id(owner=self._principal.owner, start_key=self._start_key)
        version = record.version if record is not None else 0
        fresh = Record(
            kind=HANDLER,
            id=self._key(handler_id),
            owner=self._principal.owner,
            version=version + 1,
            data={"run_id": run_id, "before": before, "at": now, "start_key": self._start_key},
            due_at=now,
        )
        if not await self._store.put_record(fresh, expect_version=version):
            raise HandlerBusyError(handler_id)
        return _taken(handler_id, fresh)

    def _is_ours(self, record: Record) -> bool:
        """Whether the same request has taken it, when it came before."""
        return self._start_key is not None and record.data.get("start_key") == self._start_key

    async def _stands_for_another(self, record: Record, before: str) -> bool:
        """Whether its newest run is about to be, or came since somebody looked: the state of that would be lost."""
        newest = record.data["run_id"]
        if await self._state(newest) is None:
            return bool(record.data["at"] + STARTING_S > self._engine.clock.now())
        return newest != before and not await self.is_gone(newest)

    # --- finding ----------------------------------------------------------------------------------------------------

    def _key(self, handler_id: str) -> str:
        return f"{self._principal.owner}\x1f{handler_id}"

    async def _record(self, handler_id: str) -> Record | None:
        found = await self._store.get_records(HANDLER, id=self._key(handler_id))
        return found[0] if found else None

    async def _runs_of(self, handler_id: str) -> list[str]:
        """The runs that an id may stand for, the first that exists counts."""
        record = await self._record(handler_id)
        if record is not None:  # the one before, should the server have died before it could start the newest
            return [run_id for run_id in (record.data["run_id"], record.data["before"]) if run_id]
        run_id = canonical_uuid(handler_id) or run_id_of(handler_id)
        if run_id is None:
            return []
        return [run_id] if run_id == handler_id or await self._state(run_id) else await self._beginning(handler_id)

    async def _beginning(self, handler_id: str) -> list[str]:
        """The run whose id begins as the handler id says; none when there are several."""
        text = beginning_of(handler_id)
        if text is None:
            return []
        rows = await self._engine.list_runs(RunQuery(owner=self._principal.sees, search=text, limit=20))
        found = [row.run_id for row in rows if handler_id_of(row.run_id) == handler_id]
        return found if len(found) == 1 else []

    async def _state(self, run_id: str) -> State | None:
        try:
            return await self._engine.state(run_id)
        except RunNotFoundError:
            return None


def _taken(handler_id: str, record: Record) -> Handle:
    """The handle that a record was made for."""
    data = record.data
    return Handle(handler_id=handler_id, run_id=data["run_id"], labels={LABEL: handler_id}, before=data["before"])
