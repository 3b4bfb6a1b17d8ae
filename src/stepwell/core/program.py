"""What a program is, and what it may ask of its run: the `Program` and `RunContext` Protocols.

A program is an async function over a `RunContext`. It is run again from its start after a crash; every verb whose
outcome is on record returns at once. For that to be true a program
- takes its keys from its own structure, never from call order;
- reads no clock and no randomness: `ctx.now` is the time of the last recorded event on its own branch, and
  `ctx.uuid(key)` is the same each time;
- lets every choice that depends on order or time go through `race` or `record`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from stepwell.core.approvals import ApprovalOutcome, ApprovalRequest
from stepwell.core.errors import Problem
from stepwell.core.history import Listen
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.core.status import Status


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a run that a program may read: they never change while the run lives."""

    id: str
    workflow: str
    version: str
    created_at: float
    """Seconds since the epoch, UTC."""
    labels: Mapping[str, str] = {}
    parent_id: str | None = None


class StepContext(Protocol):
    """What an activity gets to see of the attempt it works for."""

    run_id: str
    key: str
    attempt: int
    """Counted from 1; a repeat after a crash counts too."""

    @property
    def idempotency_key(self) -> str:
        """`run_id/step_key/generation`: the same on every attempt, so a target can drop repeats."""

    @property
    def traceparent(self) -> str:
        """What calls to elsewhere carry along, so that they are seen in the run's trace (W3C Trace Context §3.2);
        "" when the run is not traced.
        """

    @property
    def status(self) -> Status:
        """How its run stands now. An activity that takes long looks, so that no stop or pause waits for its end."""

    def heartbeat(self) -> None:
        """Say that the attempt is alive: moves its heartbeat deadline. Safe from any thread."""

    def think(self, text: str) -> None:
        """Put a `thinking` item on the run's stream. Safe from any thread."""

    def progress(self, fraction: float) -> None:
        """Put a `progress` item (0.0 to 1.0) on the run's stream. Safe from any thread."""

    def publish(self, item: Any) -> None:
        """Put any JSON value (or its text, as `msgspec.Raw`) on the run's stream, under this attempt. Safe from any
        thread.
        """

    async def saved(self) -> None:
        """Wait until everything that was put on the stream so far is on disk. On the loop's own thread only."""

    def late(self, value: Any = None, error: BaseException | None = None) -> None:
        """Say what the attempt came to after it was given up: it goes on record as late, and changes nothing. Safe
        from any thread.
        """


Work = Callable[[StepContext], Awaitable[Any]]
"""The work of a step: awaited once per attempt; returns a JSON value or raises."""


class SignalValue(msgspec.Struct, frozen=True, kw_only=True):
    """A signal as a program receives it."""

    id: str
    name: str
    data: Any = None
    at: float = 0.0


class RaceResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a race: the branch that decided it and what that branch returned (a JSON value)."""

    winner: str
    value: Any = None


class RunContext(Protocol):
    """The verbs of a program. Every branch of a race has its own context, with its own `now`.

    Each verb takes a `key` that is unique in its run, records its outcome under it, and returns (or raises
    `ProgramError` from) the record when the program is run again. Values are JSON values.
    """

    @property
    def run(self) -> RunInfo:
        """The facts of the run."""

    @property
    def now(self) -> float:
        """The `at` of the last recorded event on this branch; seconds since the epoch, UTC."""

    def uuid(self, key: str) -> UUID:
        """UUIDv5 of `run_id/key`: the same on every pass."""

    async def step(
        self,
        key: str,
        work: Work,
        *,
        name: str = "",
        retry: RetryPolicy = NO_RETRY,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        input: Any = None,
    ) -> Any:
        """Do `work` at least once and record what it returned; raises `ProgramError` when it failed for good.

        `input`, here and of the waits, is kept for those who look at the run: what the step works on.
        """

    async def sleep_until(self, key: str, at: float, *, name: str = "", input: Any = None) -> None:
        """Wait until the instant `at` (seconds since the epoch, UTC), across restarts."""

    async def sleep(self, key: str, seconds: float, *, name: str = "", input: Any = None) -> None:
        """Wait for so long, counted from when the timer goes on record: however long the run stood still before."""

    async def wait(
        self,
        key: str,
        signal: str,
        *,
        deadline: float | None = None,
        heartbeat_timeout_s: float | None = None,
        name: str = "",
        reason: Literal["event", "callback"] = "event",
        input: Any = None,
    ) -> SignalValue | None:
        """The next signal of that name that no other wait has taken; None when `deadline` passed first.

        With `heartbeat_timeout_s` a wait that hears no heartbeat for so long raises `ProgramError` (type
        `heartbeat_timeout`).
        """

    async def approve(self, key: str, request: ApprovalRequest, *, name: str = "") -> ApprovalOutcome:
        """Ask people to decide; returns the decision, rejected and expired too."""

    async def child(
        self,
        key: str,
        workflow: str,
        input: Any = None,
        *,
        version: str | None = None,
        wait: bool = True,
        name: str = "",
    ) -> Any:
        """Start a run of another workflow and return its output; raises `ProgramError` when it failed.

        With `wait=False` returns `{"id": child_run_id}` as soon as the child exists; it outlives its parent.
        """

    async def race(
        self,
        key: str,
        branches: Mapping[str, "Branch"],
        *,
        until: Literal["first", "all"] = "first",
        after: Mapping[str, Sequence[str]] = {},
        limit: int | None = None,
    ) -> RaceResult | Sequence[Any]:
        """Run branches at once.

        `first`: the first to end decides, the others are cancelled; its failure is raised. Returns `RaceResult`.
        `all`: returns their values in branch order; the first failure cancels the others and is raised. `after` maps
        a branch to those that must have ended before it begins (its `now` is then the latest of theirs), `limit`
        says how many may be under way at once; who may begin does so in branch order.
        """

    async def publish(self, key: str, item: Any) -> None:
        """Put a JSON value on the run's stream exactly once."""

    async def emit(self, key: str, event: Mapping[str, Any]) -> None:
        """Send a CloudEvent (its JSON form) to every run and schedule that listens for it, once."""

    async def record(self, key: str, value: Any) -> Any:
        """Return `value`, or what was recorded under `key` on an earlier pass."""

    def recall(self, key: str) -> Any:
        """What is on record under `key`: the value recorded, or the output of the step; None when there is nothing.

        Raises `ProgramError` when the step failed for good. For programs with a loop of their own, which read their
        record before they go on.
        """

    def show(self, key: str, item: Any) -> None:
        """Put a JSON value on the run's stream beside the record that this pass has made under `key`.

        It goes to disk together with that record as long as nothing is awaited between the two; no event of its own
        tells of it.
        """

    def branches(self) -> "AbstractAsyncContextManager[Branches]":
        """Run branches that begin as they come, and not all at once as those of a race."""


class Branches(Protocol):
    """Branches that begin as they come; those still under way are cancelled when the block is left."""

    def begin(self, branch: "Branch") -> Callable[[], object]:
        """Begin a branch; returns what cancels it. What it raises is lost: it tells its outcome to who needs it."""

    async def here(self, branch: "Branch") -> Any:
        """Run a branch in the task that asks, which is one beside those in the block, and cancels it if need be."""

    async def rest(self, awaitable: Awaitable[Any]) -> Any:
        """Await what only these branches bring about. When all of them wait for something durable, the run may be let
        go of meanwhile.
        """


Branch = Callable[[RunContext], Awaitable[Any]]
"""One branch of a race: an async function over its own context."""

Program = Callable[[RunContext, Any], Awaitable[Any]]
"""An async function over a context and the run's input; what it returns is the run's output."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When a workflow starts by itself: `after_s` counts from the end of the run before. Exactly one is given."""

    cron: str | None = None
    every_s: float | None = None
    after_s: float | None = None


class Trigger(Protocol):
    """Events that start runs of a workflow: each that matches one filter, or (`all`) one for every filter.

    `listens` has one entry per filter; a run's input is the array of events that started it.
    """

    listens: Sequence[Listen]
    all: bool

    async def matches(self, index: int, event: Mapping[str, Any]) -> bool:
        """Whether an event of the right type and source passes the rest of filter `index`."""


class StepOutline(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a definition has, whether a run comes to it or not. `type` as templates name it.

    `key` starts the keys of all that the step does in a history; `steps` are those inside it (`foreach`).
    """

    key: str
    name: str
    type: str
    depends_on: tuple[str, ...] = ()
    max_attempts: int = 1
    timeout_s: float | None = None
    heartbeat_timeout_s: float | None = None
    steps: tuple["StepOutline", ...] = ()
    digest: str = ""
    """A hash of all that the definition says of the step: while it is the same, outcomes of another version hold."""
    undoable: bool = False
    """Whether the compensation of the definition undoes it."""


class Hiding(Protocol):
    """Hides the secrets of one run."""

    def input(self, value: Any) -> Any:
        """The run's input as anybody may see it."""

    def value(self, value: Any) -> Any:
        """A JSON value without them."""

    def problem(self, problem: Problem) -> Problem: ...


class Showing(Protocol):
    """Shows the steps of a program that keeps more on record than what they came to. Pure."""

    def output(self, type: str, output: Any) -> Any:
        """What people take for the output of a step of that type (as `StepView` names types)."""

    def problem(self, problem: Problem) -> Problem:
        """What people take for its failure."""


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A definition, ready to run: its program, and what it says about starting and listening."""

    program: Program
    listens: tuple[Listen, ...] = ()
    """What its runs want to hear from their creation to their end."""
    timing: Timing | None = None
    trigger: Any = None  # a Trigger, which msgspec has no type for
    input_schema: Any = None
    """JSON Schema of the input, where the definition has one."""
    title: str = ""
    """What the definition is called, where that is not its name in the engine: runs are labelled with it."""
    namespace: str = ""
    """What the definition says about where it belongs; names are unique without it."""
    outline: tuple[StepOutline, ...] = ()
    """The steps that every run has, in the order of the definition; none where only running shows them."""
    check_input: Any = None  # Callable[[Any], Awaitable[Mapping[str, Sequence[str]]]] | None
    """Every fault of a run's input, by variable ("" is the whole); None where any input is taken."""
    typed: Any = None  # core.typed.TypedWorkflow | None
    """What a workflow of typed events says of them; None for all others."""
    secret_inputs: tuple[str, ...] = ()
    """Names of the inputs that no view shows."""
    hiding: Any = None  # Callable[[Any], Hiding] | None
    """From a run's input to what hides its secrets wherever they turn up; None where there are none."""
    showing: Any = None  # Showing | None
    """Shows the steps of a run to people; None where what is on record is what they came to."""
    timeout_s: float | None = None
    """How long a run may take, unless its start says otherwise. The engine sees to it, not the program."""
    compensation: str | None = None
    """The text (same kind) of the workflow that undoes what a run has completed, where there is something to undo."""
    undo_on_failure: bool = False
    """Whether that is also done when a run fails, and not only when somebody who cancels it or rolls it back asks."""


class Programs(Protocol):
    """Turns stored definitions into programs: one per kind of workflow (flow, pipeline, code)."""

    kind: str

    def compile(self, document: str) -> Compiled:
        """A definition's stored text, ready to run. Raises `InvalidDefinitionError`."""
