"""The package tells of runs and steps by spans, to whoever has put a handler on its dispatchers. Making them takes a
good part of a short run: they are made when there is somebody to see them.
"""

from collections.abc import Callable
from typing import Any, Final

from stepwell.programs.code.seam import (
    Context,
    NullEventHandler,
    NullSpanHandler,
    RegisteredWorkflow,
    RunContext,
    StopEvent,
    Workflow,
    control_loop,
    get_dispatcher,
    run_context,
)

_TOLD: Final = tuple(
    get_dispatcher(name) for name in ("root", "workflows.workflow", "workflows.runtime.types.step_function")
)
"""The dispatchers that runs and steps are told to."""
_NOBODY: Final = (NullSpanHandler, NullEventHandler)


def are_seen() -> bool:
    """Whether somebody has put a handler on."""
    return any(
        type(handler) not in _NOBODY
        for dispatcher in _TOLD
        for handlers in (dispatcher.span_handlers, dispatcher.event_handlers)
        for handler in handlers
    )


class SeldomSpans:
    """The dispatcher of a workflow object, which steps ask for their span."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatcher, name)

    def span(self, step: Callable[..., Any]) -> Callable[..., Any]:
        return self._dispatcher.span(step) if are_seen() else step


def run_function(found: RegisteredWorkflow) -> Any:
    """The package's function that runs a workflow; without its span where nobody sees that."""
    whole = found.workflow_run_fn

    async def run(init_state: Any, start_event: Any = None, tags: Any = None) -> StopEvent:
        if are_seen():
            return await whole(init_state, start_event, tags)
        workflow: Workflow = found.workflow
        adapter = workflow._runtime.get_internal_adapter(workflow)
        steps = workflow._runtime.get_or_register(workflow).steps
        context: Any = Context._create_internal(workflow=workflow)
        with run_context(RunContext(workflow=workflow, run_adapter=adapter, context=context, steps=steps)):
            return await control_loop(start_event, init_state, adapter.run_id)

    return run
