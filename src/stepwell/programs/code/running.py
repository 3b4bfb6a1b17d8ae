"""The program of a hosted workflow: reads its record, and lets the package's control loop go on from there.

Every invocation of a step is a step of the run, so what it came to is on record before anything follows from it, and
no invocation whose outcome is on record runs again. Every tick of the control loop is on record before its commands
run. What a step wrote to the state goes on record with its outcome, so that one which is run again never meets its
own earlier writes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

from stepwell.core.errors import ProgramError, StepFailure
from stepwell.core.program import Branches, RunContext, StepContext
from stepwell.programs.code.adapter import INVOCATION, HostedAdapter, Invocation
from stepwell.programs.code.codec import NotKeptError
from stepwell.programs.code.endings import failure, problem_of, result_of
from stepwell.programs.code.hosting import Beginning, Hosted
from stepwell.programs.code.record import OUTCOME, Past, Reading, outcome_in
from stepwell.programs.code.runtime import CURRENT, Place
from stepwell.programs.code.seam import (
    CommandCompleteRun,
    StepWorkerFailed,
    StepWorkerOutput,
    StepWorkerState,
    StopEvent,
    TickWakeup,
    WorkflowRuntimeError,
    WorkflowTick,
    replay_ticks_stream,
)
from stepwell.programs.code.state import HostedStore, Note, rebuilt

Outputs = Sequence[StepWorkerOutput]
Now = Callable[[], float]


class CodeProgram:
    """`core.program.Program` for one hosted workflow object."""

    def __init__(self, hosted: Hosted, *, now: Now) -> None:
        self._hosted = hosted
        self._now = now
        limit = hosted.workflow._num_concurrent_runs
        self._room: AbstractAsyncContextManager[Any] = nullcontext() if limit is None else asyncio.Semaphore(limit)

    async def __call__(self, ctx: RunContext, input: Any) -> Any:
        begins = self._hosted.begin(input, ctx.run.labels)
        past = await Reading(ctx.recall, self._hosted.codec, begins.broker, ctx.run.id).read()
        if past.exit is not None:  # the process died between the last tick and the end of the run
            if isinstance(past.exit, CommandCompleteRun):
                return result_of(past.exit.result)
            raise failure(past.exit.exception, past.blame)
        async with self._room, ctx.branches() as branches:
            run = HostedRun(self._hosted, ctx, branches, past, begins, self._now)
            place = Place(run=run)
            CURRENT.set(place)
            try:
                return result_of(await run.go())
            except ProgramError:
                raise
            except Exception as fault:
                raise failure(fault, run.adapter.blame) from fault
            finally:
                run.adapter.drop_timer()
                place.run = None


class HostedRun:
    """One run, while it is in memory (`runtime.HostedRun`)."""

    def __init__(
        self, hosted: Hosted, ctx: RunContext, branches: Branches, past: Past, begins: Beginning, now: Now
    ) -> None:
        self.workflow = hosted.workflow
        self._hosted = hosted
        self._branches = branches
        self._past = past
        self._begins = begins
        self._now = now
        self.adapter: HostedAdapter = HostedAdapter(
            ctx, branches, past, codec=hosted.codec, now=now, make_store=self._make_store
        )

    async def go(self) -> StopEvent:
        """Run the control loop to its end. Raises what it raises."""
        past = self._past
        if past.started or self._begins.broker.is_running:
            await self._count_the_rest()
        else:
            self.adapter.start_event = self._hosted.start_event(self._begins.fields)
        # The control loop begins every session with a marker, which leaves out the time since the session before.
        return await self._hosted.registered.workflow_run_fn(past.broker, self.adapter.start_event, {})

    def _make_store(self, note: Note) -> HostedStore:
        codec = self._hosted.codec
        state = rebuilt(self._begins.state or self._hosted.state_type(), self._past.patches, codec)
        return HostedStore(state, codec=codec, note=note)

    async def _count_the_rest(self) -> None:
        """Let the time that the run has waited count against its time-out, though it was not in memory."""
        if not self._past.resting:
            return
        tick = TickWakeup(due=0.0, stamped_at=self._now())

        async def only() -> AsyncIterator[WorkflowTick]:
            yield tick

        self._past.broker = (await replay_ticks_stream(self._past.broker, only(), self.adapter.run_id)).state
        await self.adapter.on_tick(tick)

    # --- steps ------------------------------------------------------------------------------------------------------

    async def do_step(
        self, state: StepWorkerState, call: Callable[[], Awaitable[list[StepWorkerOutput]]]
    ) -> list[StepWorkerOutput]:
        try:
            outputs: list[StepWorkerOutput] = await self._branches.here(partial(self._step, state, call))
        finally:  # its task ends in this turn of the loop: the control loop goes on with the next
            self.adapter.tell()
        return outputs

    async def _step(
        self, state: StepWorkerState, call: Callable[[], Awaitable[list[StepWorkerOutput]]], ctx: RunContext
    ) -> list[StepWorkerOutput]:
        invocation_id = state.invocation_id or ""
        key = self.adapter.invoked(state.step_name, state.work_item_id, invocation_id)
        live: list[StepWorkerOutput] | None = None

        async def work(step: StepContext) -> Any:
            nonlocal live
            invocation = Invocation(step=step)
            token = INVOCATION.set(invocation)
            try:
                live = self._stamped(await call())
            finally:
                INVOCATION.reset(token)
                invocation.step = None
            live, outcome = self._outcome(live, invocation)
            failed = next((output for output in live if isinstance(output, StepWorkerFailed)), None)
            if failed is not None:
                raise StepFailure(problem_of(failed.exception, **{OUTCOME: outcome}))
            return outcome

        try:
            outcome = await ctx.step(key, work, name=state.step_name)
        except ProgramError as fault:
            outcome = outcome_in(fault.problem)
            if outcome is None:
                raise
        if live is not None:
            return live
        sends = self.adapter.send_again(key, invocation_id, self._hosted.codec.load_sends(outcome))
        return [*self._hosted.codec.load_results(outcome["results"]), *sends]

    def _stamped(self, outputs: list[StepWorkerOutput]) -> list[StepWorkerOutput]:
        """Failures carry the instant of the machine's clock; the run goes by the engine's."""
        return [
            output.model_copy(update={"failed_at": self._now()}) if isinstance(output, StepWorkerFailed) else output
            for output in outputs
        ]

    def _outcome(self, outputs: list[StepWorkerOutput], invocation: Invocation) -> tuple[Any, dict[str, Any]]:
        """What a step gave back, with its record. One that cannot be kept is a failure of the step."""
        codec = self._hosted.codec
        try:
            outcome = codec.dump_outputs(outputs)
        except NotKeptError as fault:
            failed = WorkflowRuntimeError(f"what the step gave back cannot be kept: {fault}")
            outputs = [StepWorkerFailed(exception=failed, failed_at=self._now())]
            outcome = codec.dump_outputs(outputs)
        if invocation.writes:
            outcome["writes"] = invocation.writes
        return outputs, outcome
