"""The runtime that hosted workflow objects are put on: the package's own one, with runs of ours led to our adapter.

A run of the object that somebody starts by hand (`workflow.run()`, also inside a step of a hosted run) is left to the
package.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol, cast

import msgspec

from stepwell.programs.code.seam import (
    BaseRuntimeDecorator,
    BasicRuntime,
    InternalRunAdapter,
    RegisteredWorkflow,
    RetryAttempt,
    StepWorkerFunction,
    StepWorkerOutput,
    StepWorkerState,
    Workflow,
)
from stepwell.programs.code.spans import SeldomSpans, run_function


class HostedRun(Protocol):
    """A run of ours, while it is in memory."""

    workflow: Workflow

    @property
    def adapter(self) -> InternalRunAdapter:
        """What its control loop sees of the engine."""

    async def do_step(
        self, state: StepWorkerState, call: Callable[[], Awaitable[list[StepWorkerOutput]]]
    ) -> list[StepWorkerOutput]:
        """One invocation of a step, as a step of the run."""


class Place(msgspec.Struct):
    """Where a hosted run is found. Timers of the loop keep the context that they were made in, cancelled ones too:
    emptied at the end of the run, it keeps nothing alive.
    """

    run: Any = None  # HostedRun | None


CURRENT: ContextVar[Place | None] = ContextVar("stepwell_hosted_run", default=None)
"""The place of the hosted run that the code at hand belongs to."""


def _current(workflow: Workflow) -> HostedRun | None:
    place = CURRENT.get()
    run: HostedRun | None = place.run if place is not None else None
    return run if run is not None and run.workflow is workflow else None


class HostingRuntime(BaseRuntimeDecorator):
    """The package's basic runtime, with hosted runs led to their own adapters."""

    def __init__(self) -> None:
        super().__init__(BasicRuntime())
        self._registered: dict[int, RegisteredWorkflow] = {}

    def take_on(self, workflow: Workflow) -> None:
        """Put a workflow object on this runtime."""
        if workflow.runtime is not self:
            workflow._switch_runtime(self)
            steps = workflow._get_steps()
            # Else the object is searched for them at every invocation. Those of a hosted one do not change any more.
            vars(workflow)["_get_steps"] = lambda: steps
            workflow._dispatcher = cast(Any, SeldomSpans(workflow._dispatcher))

    def get_registered(self, workflow: Workflow) -> RegisteredWorkflow | None:
        found = self._registered.get(id(workflow))
        return found if found is not None and found.workflow is workflow else None

    def register(self, workflow: Workflow) -> RegisteredWorkflow:
        found = super().register(workflow)
        steps = {name: _hosted(step) for name, step in found.steps.items()}
        registered = RegisteredWorkflow(workflow=workflow, workflow_run_fn=run_function(found), steps=steps)
        self._registered[id(workflow)] = registered
        return registered

    def run_workflow(self, *args: Any, **options: Any) -> Any:
        token = CURRENT.set(None)  # a run of its own, though a step of ours may have started it
        try:
            return super().run_workflow(*args, **options)
        finally:
            CURRENT.reset(token)

    def get_internal_adapter(self, workflow: Workflow) -> InternalRunAdapter:
        run = _current(workflow)
        return run.adapter if run is not None else super().get_internal_adapter(workflow)


def _hosted(step: StepWorkerFunction) -> StepWorkerFunction:
    """A step function that is a step of the run where it belongs to one of ours."""

    async def invoke(
        state: StepWorkerState,
        step_name: str,
        event: Any,
        workflow: Workflow,
        bound_events: dict[str, Any] | None = None,
        retry: RetryAttempt = RetryAttempt(),  # noqa: B008  frozen, and the seam's own default
    ) -> list[StepWorkerOutput]:
        call = partial(step, state, step_name, event, workflow, bound_events, retry)
        run = _current(workflow)
        return await (call() if run is None else run.do_step(state, call))

    return invoke


RUNTIME: Final = HostingRuntime()
