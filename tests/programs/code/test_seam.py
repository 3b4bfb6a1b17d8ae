"""What hosting uses of `llama-index-workflows`, pinned: the first tests to fail when the package's seam moves."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from pydantic import BaseModel
from workflows import Workflow, step
from workflows.events import StartEvent, StopEvent
from workflows.runtime.types import ticks

from stepwell.programs.code import seam


class Sample(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.get("x"))


def names(call: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(call).parameters)


def test_the_installed_minor_version_is_the_tested_one() -> None:
    assert version("llama-index-workflows").split(".")[:2] == ["2", "26"]


@pytest.mark.parametrize("name", seam.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(seam, name) is not None


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        (
            seam.BaseRuntimeDecorator.run_workflow,
            ["self", "run_id", "workflow", "init_state", "start_event", "serialized_state", "serializer"],
        ),
        (seam.BaseRuntimeDecorator.register, ["self", "workflow"]),
        (seam.BaseRuntimeDecorator.get_registered, ["self", "workflow"]),
        (seam.BaseRuntimeDecorator.get_internal_adapter, ["self", "workflow"]),
        (seam.InternalRunAdapter.on_tick, ["self", "tick"]),
        (seam.InternalRunAdapter.get_now, ["self"]),
        (seam.InternalRunAdapter.send_event, ["self", "tick"]),
        (seam.InternalRunAdapter.wait_receive, ["self", "timeout_seconds"]),
        (seam.InternalRunAdapter.wait_for_next_task, ["self", "running", "pending", "timeout"]),
        (seam.InternalRunAdapter.get_state_store, ["self", "namespace"]),
        (seam.InternalRunAdapter.write_to_event_stream, ["self", "event"]),
        (
            seam.StepWorkerFunction.__call__,
            ["self", "state", "step_name", "event", "workflow", "bound_events", "retry"],
        ),
        (seam.replay_ticks_stream, ["state", "ticks", "run_id"]),
        (seam.rebuild_state_from_ticks, ["state", "ticks", "run_id"]),
        (seam.InMemoryStateStore._write_state, ["self", "state", "storage"]),
        (seam.InMemoryStateStore.checkpoint, ["self"]),
        (seam.StateCheckpoint.diff, ["self", "since"]),
        (seam.JsonSerializer.resolve_class, ["self", "qualified_name"]),
        (seam.JsonSerializer.serialize_value, ["self", "value"]),
        (seam.BrokerState.from_serialized, ["serialized", "workflow", "serializer"]),
        (seam.SerializedContext.from_dict_auto, ["data", "serializer"]),
        (Workflow._validate_valid_step_message, ["self", "step", "message"]),
        (Workflow._switch_runtime, ["self", "new_runtime"]),
    ],
)
def test_signatures_are_as_they_were(call: Callable[..., Any], parameters: list[str]) -> None:
    assert names(call) == parameters


def test_an_adapter_must_give_no_more_than_ours_does() -> None:
    assert seam.InternalRunAdapter.__abstractmethods__ == {
        "get_now",
        "run_id",
        "send_event",
        "wait_receive",
        "write_to_event_stream",
    }


def test_ticks_and_results_have_the_members_that_the_record_keeps() -> None:
    assert set(seam.TickStepResult.model_fields) == {
        "type",
        "step_id",
        "worker_id",
        "invocation_namespace",
        "event",
        "result",
        "stamped_at",
        "invocation_id",
        "sends",
    }
    assert set(seam.SentEvent.model_fields) == {"index", "event", "step_id", "recovery_counts"}
    assert {"requirements", "timeout", "waiter_id"} <= set(seam.AddWaiter.model_fields)
    assert {"exception", "failed_at", "retry_decision", "first_attempt_at"} == set(
        seam.StepWorkerFailed.model_fields
    ) - {"type"}


def test_the_kinds_of_ticks_are_those_that_were_tested() -> None:
    kinds = [kind for kind in vars(ticks).values() if inspect.isclass(kind) and issubclass(kind, BaseModel)]

    assert {kind.model_fields["type"].default for kind in kinds if kind.__name__.startswith("Tick")} == {
        "add_event",
        "cancel_run",
        "idle_check",
        "idle_release",
        "publish_event",
        "session_start",
        "step_result",
        "timeout",
        "waiter_timeout",
        "wakeup",
    }


def test_a_broker_tells_what_is_under_way() -> None:
    broker = seam.BrokerState.from_workflow(Sample())

    assert broker.is_running is False
    assert [str(step_id) for step_id in broker.workers] == ["only"]
    assert not any(worker.queue or worker.in_progress for worker in broker.workers.values())


def test_a_workflow_has_the_limits_that_hosting_reads() -> None:
    assert Sample(num_concurrent_runs=3)._num_concurrent_runs == 3
    assert Sample(disable_validation=True)._disable_validation is True
