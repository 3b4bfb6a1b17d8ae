"""The names of `llama-index-workflows` that hosting rests on: all of them come from here, and from nowhere else.

The package's authoring API is public. Its seam for runtimes is public too, but has changed its shape between minor
versions; a few names are private, for want of others. `tests/programs/code/test_seam.py` pins what is used of each,
so that it is the first to fail when the seam moves. Only modules that are imported when a workflow object is at hand
import this one: without the package (extra `llama`) everything else works.
"""

from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.event_handlers import NullEventHandler
from llama_index_instrumentation.span_handlers import NullSpanHandler
from workflows import Context, Workflow
from workflows.context.context_types import SerializedContext
from workflows.context.serializers import BaseSerializer, JsonSerializer
from workflows.context.state_store import InMemoryStateStore, StateCheckpoint, infer_state_type
from workflows.errors import WorkflowRuntimeError, WorkflowTimeoutError
from workflows.events import (
    Event,
    InternalDispatchEvent,
    StartEvent,
    StopEvent,
    UnreconstructedException,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
)
from workflows.plugins.basic import BasicRuntime
from workflows.representation import get_workflow_representation
from workflows.runtime.control_loop import control_loop, rebuild_state_from_ticks, replay_ticks_stream
from workflows.runtime.runtime_decorators import BaseRuntimeDecorator
from workflows.runtime.types.commands import CommandCompleteRun, CommandFailWorkflow, CommandHalt
from workflows.runtime.types.internal_state import BrokerState
from workflows.runtime.types.named_task import NamedTask, PendingPull, PendingStart, PendingWorker, WorkerTask
from workflows.runtime.types.plugin import (
    InternalRunAdapter,
    RegisteredWorkflow,
    RunContext,
    WaitForNextTaskResult,
    WaitResult,
    WaitResultTick,
    WaitResultTimeout,
    run_context,
)
from workflows.runtime.types.results import (
    AddWaiter,
    DeleteWaiter,
    EmissionKey,
    RetryAttempt,
    SentEvent,
    StepFunctionResult,
    StepWorkerFailed,
    StepWorkerOutput,
    StepWorkerState,
)
from workflows.runtime.types.step_function import StepWorkerFunction
from workflows.runtime.types.step_id import StepId
from workflows.runtime.types.ticks import (
    TickAddEvent,
    TickSessionStart,
    TickStepResult,
    TickWaiterTimeout,
    TickWakeup,
    WorkflowTick,
    WorkflowTickAdapter,
)

__all__ = [
    "AddWaiter",
    "BaseRuntimeDecorator",
    "BaseSerializer",
    "BasicRuntime",
    "BrokerState",
    "CommandCompleteRun",
    "CommandFailWorkflow",
    "CommandHalt",
    "Context",
    "DeleteWaiter",
    "EmissionKey",
    "Event",
    "InMemoryStateStore",
    "InternalDispatchEvent",
    "InternalRunAdapter",
    "JsonSerializer",
    "NamedTask",
    "NullEventHandler",
    "NullSpanHandler",
    "PendingPull",
    "PendingStart",
    "PendingWorker",
    "RegisteredWorkflow",
    "RetryAttempt",
    "RunContext",
    "SentEvent",
    "SerializedContext",
    "StartEvent",
    "StateCheckpoint",
    "StepFunctionResult",
    "StepId",
    "StepWorkerFailed",
    "StepWorkerFunction",
    "StepWorkerOutput",
    "StepWorkerState",
    "StopEvent",
    "TickAddEvent",
    "TickSessionStart",
    "TickStepResult",
    "TickWaiterTimeout",
    "TickWakeup",
    "UnreconstructedException",
    "WaitForNextTaskResult",
    "WaitResult",
    "WaitResultTick",
    "WaitResultTimeout",
    "WorkerTask",
    "Workflow",
    "WorkflowCancelledEvent",
    "WorkflowFailedEvent",
    "WorkflowRuntimeError",
    "WorkflowTick",
    "WorkflowTickAdapter",
    "WorkflowTimeoutError",
    "control_loop",
    "get_dispatcher",
    "get_workflow_representation",
    "infer_state_type",
    "rebuild_state_from_ticks",
    "replay_ticks_stream",
    "run_context",
]
