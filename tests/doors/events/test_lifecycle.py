"""The life of a run in the standard's words: histories to CloudEvents, as a table."""

from typing import Any

import msgspec
import pytest

from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import problem
from stepwell.core.history import AnyEvent, Parent
from stepwell.doors.events import Lifecycle, lifecycle_events
from stepwell.doors.events.lifecycle import pointer_of

AT = 1_750_000_000.0
CREATED = h.RunCreated(at=AT, run_id="r", workflow="w", version="1.0.0", definition="d", parent=Parent(run_id="p"))
STARTED = h.RunStarted(at=AT)
ERROR = problem("communication", "no answer", status=503, instance="/do/0/a")
ERROR_OBJECT = {
    "type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication",
    "title": "Communication error",
    "status": 503,
    "detail": "no answer",
    "instance": "/do/0/a",
}
TIME = "2025-06-15T15:06:40.000Z"


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def of(*events: AnyEvent) -> list[dict[str, Any]]:
    """The CloudEvents of what follows the start of a run, without the changes of its status."""
    life = Lifecycle()
    for event in (CREATED, STARTED):
        life.take(event)
    found = [found for event in events for found in life.take(event)]
    plain: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(found))
    return [one for one in plain if not one["type"].endswith("status-changed.v1")]


def short(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (one["type"].removeprefix("io.serverlessworkflow.").removesuffix(".v1"), one["subject"]) for one in events
    ]


CALL: list[AnyEvent] = [h.StepScheduled(at=AT, key="/do/0/a"), h.AttemptStarted(at=AT, key="/do/0/a", attempt=1)]
LISTEN = h.SignalAwaited(at=AT, key="/do/0/l@0", signal="event:/do/0/l/listen/to", name="l")
HEARD = h.SignalReceived(at=AT, id="1", signal="event:/do/0/l/listen/to", data=raw({"x": 1}))
AGAIN = h.SignalAwaited(at=AT, key="/do/0/l@1", signal="event:/do/0/l/listen/to", name="l")
OPENED = [("task.created", "/do/0/a"), ("task.started", "/do/0/a")]
HEARING = [("task.created", "/do/0/l"), ("task.started", "/do/0/l"), ("workflow.correlation-started", "r")]


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ([h.RunCompleted(at=AT)], [("workflow.completed", "r")]),
        ([h.RunFailed(at=AT, error=ERROR)], [("workflow.faulted", "r")]),
        ([h.RunCancelled(at=AT)], [("workflow.cancelled", "r")]),
        ([h.RunPaused(at=AT), h.RunResumed(at=AT)], [("workflow.suspended", "r"), ("workflow.resumed", "r")]),
        (
            [h.RunFailed(at=AT, error=ERROR), h.RunRetried(at=AT, generation=2), STARTED],
            [("workflow.faulted", "r"), ("workflow.resumed", "r")],
        ),
        # a call, tried once, tried again, failed, cut off
        ([*CALL, h.StepCompleted(at=AT, key="/do/0/a")], [*OPENED, ("task.completed", "/do/0/a")]),
        (
            [
                *CALL,
                h.AttemptFailed(at=AT, key="/do/0/a", attempt=1, error=ERROR),
                h.RetryScheduled(at=AT, key="/do/0/a", due_at=AT),
                h.AttemptStarted(at=AT, key="/do/0/a", attempt=2),
                h.StepFailed(at=AT, key="/do/0/a", error=ERROR),
            ],
            [*OPENED, ("task.retried", "/do/0/a"), ("task.faulted", "/do/0/a")],
        ),
        ([*CALL, h.RunCancelled(at=AT)], [*OPENED, ("task.cancelled", "/do/0/a"), ("workflow.cancelled", "r")]),
        (
            [*CALL, h.RaceDecided(at=AT, key="/do/0", winner="b", cancelled=("/do/0/a",))],
            [*OPENED, ("task.cancelled", "/do/0/a")],
        ),
        (
            [*CALL, h.RunPaused(at=AT), h.RunResumed(at=AT)],
            [
                *OPENED,
                ("task.suspended", "/do/0/a"),
                ("workflow.suspended", "r"),
                ("task.resumed", "/do/0/a"),
                ("workflow.resumed", "r"),
            ],
        ),
        # waits
        (
            [h.TimerSet(at=AT, key="/do/0/a", due_at=AT, name="a"), h.TimerFired(at=AT, key="/do/0/a")],
            [*OPENED, ("task.completed", "/do/0/a")],
        ),
        (
            [
                h.TimerSet(at=AT, key="/do/0/a/timeout/after", due_at=AT),
                h.TimerFired(at=AT, key="/do/0/a/timeout/after"),
                h.TimerSet(at=AT, key="/do/0/a~1/delay", due_at=AT),
            ],
            [],
        ),
        (
            [
                h.ApprovalRequested(at=AT, key="/do/0/a", approval_id="1", request=ApprovalRequest()),
                h.ApprovalDecided(at=AT, key="/do/0/a", approved=True),
            ],
            [*OPENED, ("task.completed", "/do/0/a")],
        ),
        (
            [
                h.ChildStarted(at=AT, key="/do/0/a", child_id="c", workflow="k"),
                h.ChildEnded(at=AT, key="/do/0/a", error=ERROR),
            ],
            [*OPENED, ("task.faulted", "/do/0/a")],
        ),
        (
            [h.ChildStarted(at=AT, key="/do/0/a", child_id="c", workflow="k", wait=False)],
            [*OPENED, ("task.completed", "/do/0/a")],
        ),
        ([h.EventEmitted(at=AT, key="/do/0/a", event=raw({}))], [*OPENED, ("task.completed", "/do/0/a")]),
        # a listen is one task, however often it waits
        (
            [LISTEN, HEARD, AGAIN, h.ValueRecorded(at=AT, key="/do/0/l/correlated", value=raw({"c": 1}))],
            [*HEARING, ("task.completed", "/do/0/l"), ("workflow.correlation-completed", "r")],
        ),
        (
            [LISTEN, HEARD, h.RunCancelled(at=AT)],
            [*HEARING, ("task.cancelled", "/do/0/l"), ("workflow.cancelled", "r")],
        ),
        ([LISTEN, h.RunCancelled(at=AT)], [*HEARING, ("task.cancelled", "/do/0/l"), ("workflow.cancelled", "r")]),
        (
            [LISTEN, HEARD, AGAIN, h.RaceDecided(at=AT, key="/do/0", winner="b", cancelled=("/do/0/l@1",))],
            [*HEARING, ("task.cancelled", "/do/0/l")],
        ),
        ([h.SnapshotTaken(at=AT), h.ValueRecorded(at=AT, key="/x"), h.ItemPublished(at=AT, key="/y")], []),
    ],
)
def test_history_in_the_standards_words(events: list[AnyEvent], wanted: list[tuple[str, str]]) -> None:
    assert short(of(*events)) == wanted


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (h.RunPaused(at=AT), {"suspendedAt": TIME}),
        (h.RunCancelled(at=AT), {"cancelledAt": TIME}),
        (h.RunFailed(at=AT, error=ERROR), {"faultedAt": TIME, "error": ERROR_OBJECT}),
        (h.RunCompleted(at=AT, output=raw({"x": 1})), {"completedAt": TIME, "output": {"x": 1}}),
    ],
)
def test_data_of_a_run(event: AnyEvent, data: dict[str, Any]) -> None:
    [found] = of(event)
    assert found["data"] == {"name": "w-r.default", **data}


def test_data_of_the_start() -> None:
    found = lifecycle_events([CREATED, STARTED], namespace="mine")
    assert [one["type"] for one in found] == [
        "io.serverlessworkflow.workflow.status-changed.v1",
        "io.serverlessworkflow.workflow.started.v1",
        "io.serverlessworkflow.workflow.status-changed.v1",
    ]
    assert found[1]["data"] == {
        "name": "w-r.mine",
        "definition": {"name": "w", "namespace": "mine", "version": "1.0.0"},
        "startedAt": TIME,
    }
    assert found[0]["data"] == {"name": "w-r.mine", "updatedAt": TIME, "status": "pending"}


def test_data_of_a_task() -> None:
    found = of(*CALL, h.StepCompleted(at=AT, key="/do/0/a", output=raw([1])))
    named = {"workflow": "w-r.default", "task": "/do/0/a"}
    assert [one["data"] for one in found] == [
        {**named, "createdAt": TIME},
        {**named, "startedAt": TIME},
        {**named, "completedAt": TIME, "output": [1]},
    ]


def test_output_of_a_callback_is_what_it_brought() -> None:
    wait = h.SignalAwaited(at=AT, key="/do/0/a", signal="callback:x", name="a")
    found = of(wait, h.SignalReceived(at=AT, id="1", signal="callback:x", data=raw({"output": 5})))
    assert found[-1]["data"]["output"] == {"output": 5}


def test_ids_are_the_same_each_time_and_sequences_tell_where() -> None:
    events: list[AnyEvent] = [CREATED, STARTED, *CALL, h.StepCompleted(at=AT, key="/do/0/a"), h.RunCompleted(at=AT)]
    found = lifecycle_events(events)
    assert found == lifecycle_events(events)
    assert len({one["id"] for one in found}) == len(found)
    assert {one["source"] for one in found} == {"/runs/r"}
    assert [int(one["sequence"]) for one in found] == sorted(int(one["sequence"]) for one in found)


@pytest.mark.parametrize(
    ("key", "pointer"),
    [
        ("/do/0/a", "/do/0/a"),
        ("/do/0/a@3/do/1/b^2", "/do/0/a/do/1/b"),
        ("/do/0/t~2/try/0/a", "/do/0/t/try/0/a"),
        ("/do/0/l@1^2/do/0/a~10", "/do/0/l/do/0/a"),
        ("/do/0/a~1b~0c", "/do/0/a~1b~0c"),
        ("/do/0/a~1", "/do/0/a~1"),
        ("/do/0/l/foreach@2/do/0/x", "/do/0/l/foreach/do/0/x"),
    ],
)
def test_pointer_is_the_key_without_counters(key: str, pointer: str) -> None:
    assert pointer_of(key) == pointer
