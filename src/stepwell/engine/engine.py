"""`Engine`: the one object that doors, console and command line see. It starts runs, commands them and reads them.

Every method that changes something returns when the change is on disk. Refusals are `RefusedError`s, an unknown run
is a `RunNotFoundError`, and a store that cannot write is a `StorageUnavailableError`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.chain import Chain, Link, Verified, links, verify
from stepwell.core.errors import InvalidInputError, RefusedError, RunNotFoundError, StepwellError, StorageError
from stepwell.core.program import Compiled, Hiding, Programs
from stepwell.core.run import fold
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.dispatch.limits import Limit
from stepwell.dispatch.port import Dispatch, NodeInfo
from stepwell.engine import forking
from stepwell.engine.clock import Clock, SystemClock
from stepwell.engine.commits import Committer
from stepwell.engine.compensating import compensation_of
from stepwell.engine.creating import Creator, as_input, check_creation, labels_of
from stepwell.engine.depth import too_deep
from stepwell.engine.drivers import Drivers
from stepwell.engine.duties.files import RunFiles
from stepwell.engine.events import TRIGGER, Events, check_event
from stepwell.engine.hiding import Hidings
from stepwell.engine.ids import new_id
from stepwell.engine.meters import Meters
from stepwell.engine.notices import NOBODY
from stepwell.engine.projections import SEND_EVENT
from stepwell.engine.results import RunResult, Started, result_of
from stepwell.engine.retrying import AS_IT_WAS, RetryOptions, retry_command
from stepwell.engine.roster import Roster
from stepwell.engine.schedules import Schedule
from stepwell.engine.scheduling import Scheduling
from stepwell.engine.snapshots import Snapshot, snapshots_of
from stepwell.engine.tracing import Tracing
from stepwell.engine.view_log import Log
from stepwell.engine.viewing import view_of
from stepwell.engine.views import RunView
from stepwell.engine.watching import Seen, Watchers
from stepwell.engine.workflows import Workflows
from stepwell.store.model import (
    ApprovalQuery,
    ApprovalRow,
    CountQuery,
    Definition,
    Ends,
    OutboxItem,
    Record,
    RunQuery,
    RunRow,
    StreamItem,
)
from stepwell.store.port import Store
from stepwell.webhooks import Webhooks


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`idle_s`: how long a run that only waits stays in memory. `keep_ended_s`: retention, None keeps all.
    `max_depth`: how many workflows may lead to a run (its parents, or those whose events started it).
    """

    idle_s: float = 5.0
    keep_ended_s: float | None = None
    max_depth: int = 10
    audit_chain: bool = False
    """Whether each event gets a hash that covers the one before (`core.chain`), made with `audit_key`."""
    audit_key: bytes = b""
    limits: Mapping[str, Limit] = {}
    """How many runs of a workflow are driven at once, and how many begin in a time."""


class Engine:
    """Durable runs on a store. `open` it inside a running event loop; `drive=False` reads and commands only."""

    def __init__(
        self,
        *,
        store: Store,
        dispatch: Dispatch,
        programs: Sequence[Programs],
        clock: Clock | None = None,
        options: EngineOptions | None = None,
        webhooks: Webhooks | None = None,
        files: RunFiles | None = None,
        tracing: Tracing | None = None,
        at_boundary: Callable[[str], None] | None = None,
    ) -> None:
        self.store = store
        self.files = files
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.options = options if options is not None else EngineOptions()
        self._chain = Chain(self.options.audit_key)
        self.workflows = Workflows(store, programs)
        self.watchers = Watchers(store)
        self._hidings = Hidings(store, self.compiled)
        self.meters = Meters()
        self.committer = Committer(store, at_boundary=at_boundary)
        self.committer.wrote = self.meters.wrote
        self.drivers = Drivers(
            store=store,
            committer=self.committer,
            clock=self.clock,
            dispatch=dispatch,
            workflows=self.workflows,
            watchers=self.watchers,
            idle_s=self.options.idle_s,
            meters=self.meters,
            notices=webhooks.subscriptions if webhooks is not None else NOBODY,
            chain=self._chain if self.options.audit_chain else None,
            tracing=tracing,
            limits=self.options.limits,
        )
        self._creator = Creator(self.drivers, tracing)
        self.webhooks = webhooks
        self.schedules = Scheduling(self)
        self.events = Events(self)
        self._dispatch = dispatch
        self._duties = Roster(self, dispatch)

    # --- opening and closing ----------------------------------------------------------------------------------------

    async def open(self, *, drive: bool = True) -> None:
        """Open the store and take up the runs that were being driven when the last process ended."""
        await self.store.open()
        if self.webhooks is not None:
            await self.webhooks.refresh()
        self.committer.start()
        self._duties.add_seeing()
        if drive:
            self._duties.add_driving()
            self.drivers.driving = True
            await self._dispatch.serve(self.drivers.drive)
        self._duties.start()

    async def close(self, *, grace_s: float = 10.0) -> None:
        """Take no more runs, give those in hand `grace_s` seconds, write what is decided, close the store."""
        self.watchers.close()
        await self._duties.stop()
        self.drivers.give_way()
        await self._dispatch.stop(grace_s)
        await self.committer.stop()
        if self.webhooks is not None:
            await self.webhooks.duty.close(grace_s)
        await self.store.close()

    @property
    def writes_seen(self) -> tuple[int, int]:
        """Groups written by this process, and how often others were seen to write: unchanged, nothing is new."""
        return self.committer.batches, self._duties.written_outside

    @property
    def driving(self) -> bool:
        """Whether this process drives runs; else it reads and commands only."""
        return self.drivers.driving

    # --- starting ---------------------------------------------------------------------------------------------------

    async def start(
        self,
        workflow: str,
        input: Any = None,
        *,
        version: str = "",
        start_key: str | None = None,
        run_id: str | None = None,
        owner: str = "",
        door: str = "",
        labels: dict[str, str] | None = None,
        parent: h.Parent | None = None,
        start_at: float | None = None,
        run_timeout_s: float | None = None,
        callback_url: str = "",
        lineage: tuple[str, ...] = (),
        trace: str = "",
        actor: h.Actor = h.SYSTEM,
    ) -> Started:
        """Start a run; it exists on disk on return. The same `start_key` of an owner starts one run only.
        `callback_url` is told of its end; `run_timeout_s` bounds it, instead of what its definition says. `trace` is
        the traceparent of what starts it, where that is not done in this task.

        One that too many workflows led to (`lineage`) fails at once, and says which. Raises `WorkflowNotFoundError`,
        `InvalidInputError`.
        """
        if callback_url and self.webhooks is not None:
            self.webhooks.check_callback_url(callback_url)
        definition = await self.workflows.find(workflow, version)
        compiled = await self.workflows.compiled(definition.digest)
        now = self.clock.now()
        created = h.RunCreated(
            at=now,
            actor=actor,
            run_id=run_id or self.new_run_id(owner=owner, start_key=start_key),
            workflow=definition.name,
            version=definition.version,
            definition=definition.digest,
            input=as_input(input),
            owner=owner,
            door=door,
            labels=labels_of(labels, compiled.title),
            parent=parent,
            start_at=start_at,
            listens=compiled.listens,
            timeout_s=compiled.timeout_s if run_timeout_s is None else run_timeout_s,
            undo_on_failure=compiled.undo_on_failure,
        )  # of fifteen keywords at most, see `run_row`
        if callback_url or lineage or trace:
            created = msgspec.structs.replace(created, callback_url=callback_url, lineage=lineage, trace=trace)
        if labels or start_at is not None or start_key is not None or owner or run_id or run_timeout_s is not None:
            check_creation(created, start_key)
            if not self.fits(created.run_id, owner=owner, start_key=start_key):
                raise InvalidInputError("run_id: with a start key and several databases, one of `new_run_id`")
        return await self._creator.create([created, *too_deep(created, self.options.max_depth)], start_key)

    def new_run_id(self, *, owner: str = "", start_key: str | None = None) -> str:
        """An id for a run that will be started under this key."""
        while True:
            run_id = new_id(self.clock.now())
            if self.fits(run_id, owner=owner, start_key=start_key):
                return run_id

    def fits(self, run_id: str, *, owner: str, start_key: str | None) -> bool:
        """Whether a run may have this id: all of one start key are in one database, which lets one of them be."""
        return start_key is None or self.store.place_of(run_id) == self.store.place_of(f"{owner}/{start_key}")

    async def run(
        self, workflow: str, input: Any = None, *, timeout_s: float | None = None, **options: Any
    ) -> RunResult:
        """Start a run (options as for `start`) and wait for its end. Raises `TimeoutError`; the run goes on."""
        started = await self.start(workflow, input, **options)
        return await self.result(started.run_id, timeout_s=timeout_s)

    async def result(self, run_id: str, *, timeout_s: float | None = None) -> RunResult:
        """Wait for the end of a run. Raises `TimeoutError`, which changes nothing about the run."""
        if timeout_s is None:
            return result_of(await self.ended(run_id))
        async with asyncio.timeout(timeout_s):
            return result_of(await self.ended(run_id))

    async def ended(self, run_id: str) -> State:
        """Wait for the end of a run; the fold of its history then. A copy of nothing: do not change it."""
        return await self.drivers.ended(run_id)

    async def fork(
        self, run_id: str, *, at_seq: int = 0, actor: h.Actor = h.SYSTEM, input: Any = msgspec.UNSET
    ) -> Started:
        """A new run of the same workflow that has the outcomes an old one had on record at `at_seq`.

        With `input` it starts from that instead of the old run's input.
        """
        events = await self.history(run_id)
        if not 0 <= at_seq <= len(events):
            raise RefusedError("no_such_snapshot", f"the history has 1 to {len(events)}", run_id=run_id)
        now = self.clock.now()
        raw = None if input is msgspec.UNSET else as_input(input)
        copied = forking.fork(events, at_seq, new_id=new_id(now), now=now, actor=actor, input=raw)
        return await self._creator.create(copied, None)

    # --- workflows, and the events that start them ------------------------------------------------------------------

    async def save(self, *, kind: str, name: str, version: str, text: str) -> Definition:
        """Keep a definition and make it the newest of its name; what it says about starting by itself holds now.

        Raises `InvalidDefinitionError` with every fault found.
        """
        now = self.clock.now()
        definition = await self.workflows.save(kind=kind, name=name, version=version, text=text, now=now)
        compiled = await self.workflows.compiled(definition.digest)
        if compiled.compensation is not None:
            undoing = compensation_of(name)
            await self.workflows.save(kind=kind, name=undoing, version=version, text=compiled.compensation, now=now)
        await self.schedules.set_timing(name, compiled.timing)
        await self._set_trigger(name, wanted=compiled.trigger is not None)
        return definition

    def check(self, *, kind: str, text: str) -> Compiled:
        """A definition as `save` would take it. Raises `InvalidDefinitionError` with every fault found."""
        return self.workflows.check(kind, text)

    async def _set_trigger(self, name: str, *, wanted: bool) -> None:
        old = await self.store.get_records(TRIGGER, id=name)
        if wanted and not old:
            await self.store.put_record(Record(kind=TRIGGER, id=name, data={}))
        elif old and not wanted:
            await self.store.drop_record(TRIGGER, name)

    async def send_event(self, event: Any, *, owner: str = "") -> None:
        """Accept a CloudEvent (JSON form): on disk on return, taken to all who listen soon after.

        An event of an owner is not taken to runs of other owners.
        Raises `InvalidInputError` that names the attribute.
        """
        data = {"event": as_input(check_event(event)), "owner": owner, "lineage": ()}
        item = OutboxItem(kind=SEND_EVENT, run_id="", due_at=self.clock.now(), data=data)
        await self.store.put_outbox([item])
        self._duties.nudge_delivery()

    # --- commands ---------------------------------------------------------------------------------------------------

    async def signal(
        self, run_id: str, signal: str, data: Any = None, *, id: str | None = None, actor: h.Actor = h.SYSTEM
    ) -> None:
        """Send a signal; it is kept until a wait takes it. The same `id` twice is one signal."""
        signal_id = id or new_id(self.clock.now())
        await self.tell(run_id, c.SendSignal(id=signal_id, signal=signal, data=as_input(data), actor=actor))

    async def decide_approval(
        self,
        run_id: str,
        approval_id: str,
        *,
        approved: bool,
        comment: str = "",
        data: Any = None,
        via: str = "",
        bypass: bool = False,
        actor: h.Actor = h.SYSTEM,
    ) -> bool:
        """Approve or reject; False when the actor has decided so before. `bypass`: as an administrator, against the
        rules.

        Raises `RefusedError` with the decision that stands, if one does.
        """
        command = c.DecideApproval(
            approval_id=approval_id,
            approved=approved,
            comment=comment,
            data=as_input(data),
            via=via,
            bypass=bypass,
            actor=actor,
        )
        return await self.tell(run_id, command)

    async def pause(self, run_id: str, *, reason: str = "", actor: h.Actor = h.SYSTEM) -> bool:
        """Begin nothing new; steps in flight finish. Says whether it changed anything."""
        return await self.tell(run_id, c.PauseRun(reason=reason, actor=actor))

    async def resume(self, run_id: str, *, actor: h.Actor = h.SYSTEM) -> bool:
        return await self.tell(run_id, c.ResumeRun(actor=actor))

    async def stop(self, run_id: str, *, reason: str = "", actor: h.Actor = h.SYSTEM) -> bool:
        """Let the steps in flight finish, cut waits short, then end as cancelled."""
        return await self.tell(run_id, c.StopRun(reason=reason, actor=actor))

    async def cancel(
        self, run_id: str, *, reason: str = "", compensate: bool = False, actor: h.Actor = h.SYSTEM
    ) -> bool:
        """End at once, from any status that is not an end. `compensate`: what it has completed is undone."""
        return await self.tell(run_id, c.CancelRun(reason=reason, compensate=compensate, actor=actor))

    async def retry(self, run_id: str, *, options: RetryOptions = AS_IT_WAS, actor: h.Actor = h.SYSTEM) -> bool:
        """Go on from what failed or was cut off; what completed stays, as far as `options` let it.

        Raises `RefusedError`, also for a step that the run does not have.
        """
        command = c.RetryRun(actor=actor)
        if options != AS_IT_WAS:
            command = await retry_command(self.workflows, await self.state(run_id), options, actor)
        return await self.tell(run_id, command)

    async def roll_back(
        self, run_id: str, to_seq: int, *, reason: str = "", compensate: bool = False, actor: h.Actor = h.SYSTEM
    ) -> bool:
        """Forget all outcomes after `to_seq`; the run is left paused. The history keeps everything.

        `compensate`: what is forgotten is undone.
        """
        command = c.RollBackRun(to_seq=to_seq, reason=reason, compensate=compensate, actor=actor)
        return await self.tell(run_id, command)

    async def snapshot(self, run_id: str, label: str = "", *, actor: h.Actor = h.SYSTEM) -> bool:
        """Put a named point into the history to roll back to."""
        return await self.tell(run_id, c.TakeSnapshot(label=label, actor=actor))

    async def tell(self, run_id: str, command: c.OutsideCommand) -> bool:
        """Any command from outside; whether it changed anything."""
        while True:
            async with self.drivers.desk.borrow(run_id) as journal:
                try:
                    changed = await journal.tell(command)
                except RefusedError as refusal:
                    if refusal.code != "exists":
                        raise
                    continue  # somebody was starting the run a second time: the one on disk counts
                if changed:
                    self.drivers.take_up(journal)
                return changed

    # --- reading ----------------------------------------------------------------------------------------------------

    async def state(self, run_id: str) -> State:
        """The fold of a run's history: steps, attempts, waits, outputs. A copy of nothing: do not change it."""
        journal = self.drivers.desk.at_hand(run_id)
        if journal is not None and journal.settled_down:
            return journal.state
        return fold(await self.history(run_id))

    async def status(self, run_id: str) -> Status:
        """The status of a run."""
        return (await self.state(run_id)).status

    async def get(self, run_id: str) -> RunResult:
        """How a run stands, without waiting."""
        return result_of(await self.state(run_id))

    async def view(self, run_id: str, *, at_seq: int | None = None) -> RunView:
        """What doors show of a run, now or as it stood after the event `at_seq`: its steps with every attempt, its
        approvals, no secrets. Raises `RunNotFoundError`."""
        events = self.watchers.events(run_id) or await self.history(run_id)
        log = Log(events[:at_seq])
        return view_of(log, await self.compiled(log.state.definition))

    async def compiled(self, digest: str) -> Compiled | None:
        """What runs of a definition run; None where this process does not know it (a Python workflow of another one).

        Raises `StorageError`: without the definition nobody knows what of a run is secret.
        """
        try:
            return await self.workflows.compiled(digest)
        except StorageError:
            raise
        except StepwellError:
            return None

    async def hiding(self, run_id: str) -> Hiding | None:
        """What hides the secrets of a run; None where it has none. Raises `RunNotFoundError`, `StorageError`."""
        return await self._hidings.of(run_id)

    async def history(self, run_id: str, *, after_seq: int = 0, limit: int = -1) -> list[h.AnyEvent]:
        """The events after `after_seq`, oldest first; the first has seq `after_seq + 1`."""
        events = await self.store.events(run_id, after_seq, limit)
        if not events and after_seq == 0:
            raise RunNotFoundError(run_id)
        return events

    async def verify(self, run_id: str) -> Verified:
        """Whether a run's history is what was committed, as far as its events were chained."""
        seq, rows = await self.store.rows(run_id, 0, -1)
        if not seq:
            raise RunNotFoundError(run_id)
        return verify(self._chain, run_id, rows, seq=seq)

    async def links(self, run_id: str, *, after_seq: int = 0, limit: int = -1) -> dict[int, Link]:
        """Seq to the hashes of events after `after_seq`, those that were chained (of up to `limit` rows)."""
        _, rows = await self.store.rows(run_id, after_seq, limit if limit < 0 else limit + 1)
        return links(self._chain, run_id, rows, after_seq)

    async def stream(self, run_id: str, *, after: int = 0, limit: int = -1) -> list[StreamItem]:
        """The stream items after number `after`, oldest first."""
        return await self.store.stream(run_id, after, limit)

    async def last_items(self, run_id: str, count: int = 10) -> list[StreamItem]:
        """The newest stream items, oldest first."""
        return await self.store.stream(run_id, -count, -1)

    async def watch(self, run_id: str, *, after_seq: int = 0, after_item: int = 0) -> AsyncIterator[Seen]:
        """History and stream from a point on, as they are committed, until the run has ended."""
        if not await self.store.events(run_id, 0, 1):
            raise RunNotFoundError(run_id)
        async for seen in self.watchers.watch(run_id, after_seq, after_item):
            yield seen

    async def snapshots(self, run_id: str) -> list[Snapshot]:
        """The points that a run can be rolled back to, oldest first."""
        return snapshots_of(await self.history(run_id))

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRow]:
        """One page of runs, newest first."""
        return await self.store.list_runs(query if query is not None else RunQuery())

    async def ends(self, run_ids: Sequence[str]) -> dict[str, Ends]:
        """How the histories of these runs begin and end, of those that exist: all of them in one read."""
        return await self.store.ends(run_ids)

    async def count_runs(self, query: CountQuery | None = None) -> dict[tuple[str, str], int]:
        """(workflow, status) to number of runs."""
        return await self.store.count_runs(query if query is not None else CountQuery())

    async def approvals(self, query: ApprovalQuery | None = None) -> list[ApprovalRow]:
        """One page of the inbox, newest first."""
        return await self.store.list_approvals(query if query is not None else ApprovalQuery())

    async def prune(self, *, ended_before: float, limit: int = 500) -> int:
        """Delete up to `limit` runs that ended before that instant, with their files; how many."""
        pruned = await self.store.prune(ended_before, limit)
        if self.files is not None:
            await self.files.drop(pruned)
        return len(pruned)

    async def nodes(self) -> list[NodeInfo]:
        """The processes that drive runs of this database, by host and process id."""
        return await self._dispatch.nodes()

    # --- schedules --------------------------------------------------------------------------------------------------

    async def schedule(self, workflow: str, input: Any = None, **rule: Any) -> Schedule:
        """Start runs of a workflow at times; `rule` as for `Scheduling.add` (cron, every_s, after_s or at)."""
        return await self.schedules.add(workflow, input, **rule)

    async def pause_schedule(self, id: str, *, paused: bool = True) -> Schedule:
        """Stop firing, or (`paused=False`) fire again from now on."""
        return await self.schedules.pause(id, paused=paused)

    async def unschedule(self, id: str) -> None:
        """Forget a schedule; runs that it started go on."""
        await self.schedules.remove(id)

    async def list_schedules(self) -> list[Schedule]:
        """All schedules, by id."""
        return await self.schedules.list()
