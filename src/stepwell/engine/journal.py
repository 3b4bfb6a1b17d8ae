"""The journal of one run in memory: its state, what was decided, and what of that is on disk.

What is decided is in the state at once and on disk with the next group commit; whoever must not run ahead of the disk
awaits `durable`. If another process appended first, the journal folds again and decides the same commands again; if
the store fails, it drops what it holds.
"""

import asyncio
from collections.abc import Callable, Container
from typing import Final, Protocol

import msgspec

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.chain import Chain
from stepwell.core.decide import Decision, Refusal, decide
from stepwell.core.errors import RefusedError, StepwellError, StorageError
from stepwell.core.run import fold
from stepwell.core.state import State, StepKind
from stepwell.core.status import Status
from stepwell.engine.clock import Clock
from stepwell.engine.commits import Committer
from stepwell.engine.crowd import let_go
from stepwell.engine.notices import NOBODY, Notices, begins_to_ask
from stepwell.engine.projections import Shown, approval_row, outbox_items, run_row, shown
from stepwell.engine.tracing import Tracing
from stepwell.store.model import CONFLICT, Batch, CommitResult, Committed, Exists, Loaded, StreamItem
from stepwell.store.port import RunStore
from stepwell.webhooks.messages import Commit

_encode_items = msgspec.json.Encoder().encode
encode_state = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode


HOLD_EVERY_S: Final = 0.002


class Listener(Protocol):
    """Who follows a journal: the driver of the run, or a clerk that appends one command to a parked run."""

    def changed(self, keys: list[str]) -> None:
        """Waits or timers under these keys changed, or the run's phase did (not on disk yet)."""

    def saved(self) -> None:
        """A batch is on disk, and everything before it."""

    def lost(self, fault: StorageError | None) -> None:
        """The journal is void: the store failed, or the run could not be created. Let go."""

    def give_way(self) -> None:
        """Not all that the program did stands under what others appended: run it again from its start."""

    def fenced(self) -> None:
        """Another node drives the run now: let go, nothing more of this one is written."""


Observe = Callable[["Journal", list[h.AnyEvent], list[StreamItem]], None]
"""Told of events and items that are on disk; `journal.saved_seq` and `saved_items` number the last of them."""


Count = Callable[[State, list[h.AnyEvent], int], None]
"""Told of all events that are on disk, and of how many items: the state has them."""


class Office(msgspec.Struct, frozen=True, kw_only=True):
    """What all journals of an engine share. `watched` are the ids of runs that somebody watches: `observe` is told
    of those and of runs that have ended. With a `chain`, each event is hashed; `tracing` is told of traced runs.
    """

    store: RunStore
    committer: Committer
    clock: Clock
    count: Count
    observe: Observe
    watched: Container[str] = frozenset()
    notices: Notices = NOBODY
    chain: Chain | None = None
    tracing: Tracing | None = None


class Flight(msgspec.Struct):
    """A batch at the store, what to do again should it lose, and who waits for it."""

    batch: Batch
    commands: list[c.AnyCommand]
    events: list[h.AnyEvent]
    items: list[StreamItem]
    waiting: list[asyncio.Future[None]]


class Journal:
    """One run's state, and its way to the disk. All methods belong to the event loop's thread."""

    def __init__(self, office: Office) -> None:
        self.state = State()
        self._office = office
        self._now = office.clock.now
        self._told_owners = office.notices.owners
        self._hash = b""
        """Of the last event that was decided, where the chain is on."""
        self.void = False
        """Whether what is in memory is worth nothing: the store failed, or the run was never created."""
        self._fault: StepwellError | None = None
        """Why."""
        self.start_key: str | None = None
        self.listener: Listener | None = None
        self.parking = False
        """With nothing else to write, the next batch says that the run needs no driver."""
        self.run = 0
        self._epoch = 0
        self._node = 0
        self._next_item = 1
        self._live: bool | None = None
        self.saved_seq = 0
        """The seq of the last event on disk."""
        self._shown: Shown | None = None
        self._counted: Status | None = None
        self._hears = False
        """Whether what the run listens for is in the store: from its creation to its end."""
        self._commands: list[c.AnyCommand] = []
        self._events: list[h.AnyEvent] = []
        self._items: list[StreamItem] = []
        self._told: dict[int, Decision] = {}
        """What was decided on commands from outside whose callers wait, by the command's identity."""
        self._rebasing = False
        self._rebased = 0
        self._touched: set[str] = set()
        self._row_changes = True
        """Whether the next batch may change more of the run's row than seq, step and attempts."""
        self._announced = False
        """Whether the committer will come for a batch, or has one of ours in flight."""
        self._waiting: list[asyncio.Future[None]] = []
        """Who waits for the next batch. Each has a future of its own: one who is cancelled takes nobody along."""
        self._flight: Flight | None = None

    def adopt(self, loaded: Loaded) -> None:
        """Take what the store holds of the run as the truth."""
        start = _decode_state(loaded.snapshot) if loaded.snapshot is not None else None
        state = fold(loaded.events, start)
        state.touched = []
        self.state = state
        self.run, self._epoch, self._live = loaded.run, loaded.epoch, loaded.live
        self._next_item = loaded.next_item
        self._hash = loaded.hash
        self.saved_seq = state.seq
        self._shown, self._counted = shown(state), state.status
        self._hears = not state.terminal
        self._row_changes = True

    def keep(self, node: int) -> None:
        """The run is driven by this node from its creation on: as if it had been taken over once."""
        self._node, self._epoch = node, 1

    @property
    def unclaimed(self) -> bool:
        """Whether the run is not on disk yet, and no node has said that it drives it from its creation on."""
        return not (self.run or self._node)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def perform(self, command: c.AnyCommand) -> Decision:
        """Decide, and fold the events in; they are on disk once `durable` has come true."""
        decision = decide(self.state, command, self._now())
        if type(decision) is list:
            if decision:
                self._commands.append(command)
                self.append(decision)
        elif type(decision) is Refusal and decision.note:
            self._commands.append(command)
            self.append(list(decision.note))
        return decision

    def append(self, events: list[h.AnyEvent]) -> None:
        """Fold events in that need no decision: a run's creation, outcomes copied from another run."""
        state = self.state
        phase, generation = state.phase, state.generation
        fold(events, state)
        self._events += events
        if state.touched or state.phase is not phase or state.generation != generation:
            keys, state.touched = state.touched, []
            self._touched.update(keys)
            self._row_changes = True
            if self.listener is not None:
                self.listener.changed(keys)
        if not self._announced:
            self._announced = True
            self._office.committer.announce(self)

    async def tell(self, command: c.OutsideCommand) -> bool:
        """A command from outside: on disk on return; whether it changed anything.

        Raises `RefusedError`, or the store's fault. Decided again, should somebody else have appended first.
        """
        while True:
            rebased = self._rebased
            decision = self.perform(command)
            if not isinstance(decision, Refusal):
                decision = await self._lasting(command, decision)
            elif decision.note:
                await self.durable()
            if isinstance(decision, Refusal):
                raise refused(decision, self.state.run_id)
            if decision or rebased == self._rebased:
                return bool(decision)

    async def _lasting(self, command: c.OutsideCommand, decision: Decision) -> Decision:
        """What stands on disk in the end; also when nothing changed: what that rests on may not be there yet."""
        self._told[id(command)] = decision
        try:
            await self.durable()
            return self._told[id(command)]
        finally:
            del self._told[id(command)]

    def publish(self, item: StreamItem) -> None:
        """Put an item on the stream, with the next commit."""
        self._items.append(msgspec.structs.replace(item, at=self._now()))
        if not self._announced:
            self._announce()

    @property
    def saved_items(self) -> int:
        """The number of the last stream item on disk."""
        return self._next_item - 1

    @property
    def settled_down(self) -> bool:
        """Whether everything decided is on disk."""
        return not (self._events or self._items or self._flight is not None)

    @property
    def live(self) -> bool:
        """Whether the disk says, or will with the next batch, that the run needs a driver."""
        return self._live is not False

    @property
    def parked(self) -> bool:
        """Whether the disk says that the run needs no driver, and nothing else is to be written."""
        return self.parking and self._live is False and self.settled_down

    def landing(self) -> asyncio.Future[None] | None:
        """Comes true when all that was decided so far is on disk; None when it is. What a program waits for does not
        come once the store has failed: the run is let go of then (`durable` is for those who are to be told).
        """
        future: asyncio.Future[None] = asyncio.Future()
        if self.void:
            return future
        if self._events or self._items:
            self._waiting.append(future)
        elif self._flight is not None:
            self._flight.waiting.append(future)
        else:
            return None
        return future

    async def durable(self) -> None:
        """Wait until all that was decided so far is on disk; raises the store's fault."""
        if self._fault is None and (landing := self.landing()) is not None:
            await landing
        if self._fault is not None:
            raise self._fault

    # --- batches ----------------------------------------------------------------------------------------------------

    def park(self) -> None:
        """Say on disk that the run needs no driver, unless something else comes first."""
        self.parking = self._row_changes = True
        if not self._announced:
            self._announce()

    def _announce(self) -> None:
        self._announced = True
        self._office.committer.announce(self)

    def take_batch(self) -> Batch | None:
        """All that was decided since the last batch (`commits.Source`)."""
        state, events, items = self.state, self._events, self._items
        if self._rebasing or not (events or items or self.parking):
            self._announced = False
            return None
        batch = Batch(
            run=self.run,
            run_id=state.run_id,
            base_seq=self.saved_seq,
            epoch=self._epoch,
            count=len(events),
            events=h.encode_events(events) if events else b"",
            step=state.current,
            attempts=state.attempts,
        )
        if events and (chain := self._office.chain) is not None:
            before = self._hash or chain.begin(state.run_id, batch.base_seq)
            batch.hash = self._hash = chain.extend(before, batch.events)
        looked = self._shown
        if self._row_changes or self.listener is None:
            self._add_row(batch)
        if events and (state.owner in self._told_owners or state.callback_url):
            self._add_deliveries(batch, looked)
        if items:
            batch.first_item, batch.item_count, batch.items = self._next_item, len(items), _encode_items(items)
        if self._touched or state.ended_seq or self.run == 0:
            self._add_implied(batch)
        self._flight = Flight(batch, self._commands, events, items, self._waiting)
        self._waiting, self._commands, self._events, self._items = [], [], [], []
        return batch

    def _add_row(self, batch: Batch) -> None:
        """What of the run's row changes beside seq, step and attempts."""
        state = self.state
        self.parking = self.parking and not batch.count and not self._items
        live = not (self.parking or state.at_rest)
        # Who appends without driving says it anyway: the driver may have parked the run since that was read, which
        # does not show in `seq`.
        batch.outside = self.listener is None and bool(batch.count and self.run)
        if live is not self._live or batch.outside:
            batch.live = self._live = live
        look = shown(state)
        if look != self._shown:
            batch.row, batch.was = run_row(state), self._counted
            self._shown, self._counted = look, state.status
            if state.listens and self._hears is state.terminal:
                self._hears = not state.terminal
                batch.listens = state.listens if self._hears else ()
        if self.run == 0:
            batch.start_key, batch.definition, batch.node = self.start_key, state.definition, self._node
        # Work that begins and ends shows only beside waits; all else that shows is announced (`append`, `park`).
        self._row_changes = bool(state.waits) or self.parking

    def _add_deliveries(self, batch: Batch, looked: Shown | None) -> None:
        """What others are told of these events; `looked` is how the run was shown before them."""
        commit = Commit(
            state=self.state,
            events=self._events,
            base_seq=batch.base_seq,
            touched=self._touched,
            now_asks=begins_to_ask(looked, self._shown),
        )
        batch.deliveries = self._office.notices.deliveries(commit, self._now())

    def _add_implied(self, batch: Batch) -> None:
        """Timers, approvals and outbox items that follow from what was touched."""
        state, touched = self.state, self._touched
        batch.outbox = outbox_items(state, self._events, touched, self._now())
        if not touched:
            return
        batch.timers = {key: state.timers.get(key) for key in touched}
        batch.approvals = [
            approval_row(state, key, step)
            for key in touched
            if (step := state.steps.get(key)) is not None and step.kind is StepKind.APPROVAL
        ]
        self._touched = set()

    def settled(self, result: CommitResult) -> None:
        """The store's answer to the batch in flight (`commits.Source`)."""
        flight = self._flight
        assert flight is not None
        if type(result) is not Committed:
            self._lost(flight, result)
            return
        state, office, batch, events = self.state, self._office, flight.batch, flight.events
        self._flight, self._announced = None, False
        self.run = result.run
        self.saved_seq += batch.count
        self._next_item += batch.item_count
        for waiter in flight.waiting:
            if not waiter.done():
                waiter.set_result(None)
        if self._events or self._items or (self.parking and self._live is not False):
            self._announce()
        office.count(state, events, batch.item_count)
        if state.ended_seq or state.run_id in office.watched:
            office.observe(self, events, flight.items)
        if state.trace and office.tracing is not None:
            office.tracing.committed(state, self.saved_seq - len(events) + 1, events)
        if self.listener is not None:
            self.listener.saved()

    def _lost(self, flight: Flight, result: CommitResult) -> None:
        """The batch is not on disk: the run exists already, or somebody else appended first."""
        if isinstance(result, Exists):
            self.failed(RefusedError("exists", "the start key is taken", run_id=result.run_id))
            return
        assert result is CONFLICT
        self._waiting += flight.waiting
        self._items = [*flight.items, *self._items]
        self._touched.update(flight.batch.timers)
        self._rebase_task = asyncio.create_task(self._decide_again(flight.commands))

    def failed(self, fault: StepwellError) -> None:
        """The store failed, or the run was never created: drop all that is not on disk (`commits.Source`)."""
        self.void, self._fault = True, fault
        flight, self._flight, self._announced = self._flight, None, False
        self._events, self._items, self._commands = [], [], []
        if flight is not None:
            self._waiting += flight.waiting
        self._let_go()
        if self.listener is not None:
            self.listener.lost(fault if isinstance(fault, StorageError) else None)

    def _let_go(self) -> None:
        """There is nothing to wait for any more."""
        waiting, self._waiting = self._waiting, []
        let_go(waiting)

    # --- somebody else was first ------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Look at what others appended, if anything; events in flight find out by themselves."""
        while self._flight is not None and not self._flight.events:
            landed: asyncio.Future[None] = asyncio.Future()
            self._flight.waiting.append(landed)
            await landed
        if self._flight is None and self.run and not self._rebasing:
            await self._decide_again([])

    async def hold(self, taken: Loaded) -> bool:
        """Go on from a take-over of the run; whether that still holds."""
        # What is in flight loses, and is decided again: rare, and over in a moment.
        while self._flight is not None or self._rebasing:  # noqa: ASYNC110
            await asyncio.sleep(HOLD_EVERY_S)
        if self.run and self._epoch < taken.epoch:
            await self._decide_again([], [taken])
        return self._epoch == taken.epoch and not self.void

    async def _decide_again(self, commands: list[c.AnyCommand], loaded: list[Loaded] | None = None) -> None:
        """Fold what is on disk, and decide on top of it what is not."""
        self._rebasing = True
        try:
            loaded = await self._office.store.load([self.state.run_id]) if loaded is None else loaded
        except StorageError as fault:
            self.failed(fault)
            return
        finally:
            self._rebasing = False
        if not loaded:
            message = f"the run {self.state.run_id} is not in the store any more"
            self.failed(StorageError(message, told=message))
            return
        self._rebased += 1
        commands, before = [*commands, *self._commands], self.state
        driver = self.listener
        if driver is not None and loaded[0].epoch != self._epoch:  # who drives it now decides for the program
            commands = [command for command in commands if id(command) in self._told]
            self.listener, self._items = None, []
            driver.fenced()
        self._touched.update(key for key, step in before.steps.items() if not step.closed)
        if self._flight is not None:
            self._flight, self._announced = None, False
        self._commands, self._events = [], []
        self.adopt(loaded[0])
        accepted = [self._again(command) for command in commands]
        # An item that a program published goes with the fact that it did.
        self._items = [item for item in self._items if item.attempt or item.key in self.state.choices]
        if self.listener is not None:
            self.listener.changed(list(self._touched))
            if not all(accepted) or self.state.generation != before.generation:
                self.listener.give_way()
        if self._events or self._items or self.parking:
            if not self._announced:
                self._announce()
        else:
            self._let_go()
        if self.settled_down and self.listener is not None:
            self.listener.saved()

    def _again(self, command: c.AnyCommand) -> bool:
        """Decide a command again; whether it is still accepted."""
        decision = self.perform(command)
        if id(command) in self._told:
            self._told[id(command)] = decision
        return isinstance(decision, list)


def refused(refusal: Refusal, run_id: str) -> RefusedError:
    """A refusal, as the exception that callers of the engine get."""
    return RefusedError(
        refusal.code,
        refusal.message,
        run_id=run_id,
        status=refusal.status,
        waiting_for=refusal.waiting_for,
        allowed_from=refusal.allowed_from,
        standing=refusal.standing,
    )
