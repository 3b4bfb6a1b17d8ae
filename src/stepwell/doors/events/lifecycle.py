"""The life of a run as the standard's CloudEvents (Serverless Workflow DSL 1.0, "Lifecycle Events"), made from its
history. Pure: the same history gives the same events, with the same ids, so they are stored nowhere.

Tasks are what left a trace: calls, waits, approvals, child runs, listens, emitted events. `set` and the like are not
recorded, and have no events. `task` is the JSON pointer of the task: the key of its step without its counters.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from stepwell.core import history as h
from stepwell.core.errors import Problem
from stepwell.core.run import apply
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.core.status import TERMINAL, Status
from stepwell.doors.kit import instant

PREFIX: Final = "io.serverlessworkflow."
NAMESPACE: Final = "default"
"""Of what has no document of the standard."""

PHASES: Final = {
    Status.SCHEDULED: "pending",
    Status.PENDING: "pending",
    Status.RUNNING: "running",
    Status.STOPPING: "running",
    Status.WAITING: "waiting",
    Status.PAUSED: "suspended",
    Status.COMPLETED: "completed",
    Status.FAILED: "faulted",
    Status.CANCELLED: "cancelled",
}
"""Our status to the standard's status phase."""

_OPENED = h.StepScheduled | h.TimerSet | h.SignalAwaited | h.ApprovalRequested | h.ChildStarted
_COUNTER: Final = re.compile(r"(?:@\d+|\^\d+|~(?:[2-9]|\d\d+))+(?=/|$)")
_ROUND: Final = re.compile(r"@\d+$")
_PART_OF_TASK: Final = re.compile(r"(/timeout/after|~\d+/delay|/callback/post)$")
"""Steps that belong to a task without being one: its time-out, the delay before it is tried again."""
CORRELATED: Final = "/correlated"
"""What a `listen` records under its key when it is done."""

CloudEvent = dict[str, Any]
Found = list[tuple[str, str, dict[str, Any]]]
"""Type (without its prefix), subject, data."""


def lifecycle_events(events: Iterable[h.AnyEvent], *, namespace: str = NAMESPACE) -> list[CloudEvent]:
    """The CloudEvents of a whole history, or of its first part, oldest first."""
    life = Lifecycle(namespace=namespace)
    return [found for event in events for found in life.take(event)]


class Lifecycle:
    """Takes the history of one run, event by event from the first; gives what each is in the standard's terms."""

    def __init__(self, *, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._state = State()
        self._phase = ""
        self._started = False
        self._tasks: dict[str, bool] = {}
        """Keys of tasks that have not ended, and whether they have started."""

    def take(self, event: h.AnyEvent) -> list[CloudEvent]:
        state = self._state
        apply(state, event)
        touched, state.touched = state.touched, []
        at = instant(event.at)
        found = [*self._of_tasks(event, touched, at), *self._of_run(event, at), *self._of_phase(at)]
        return [self._cloud_event(number, at, *one) for number, one in enumerate(found)]

    def _cloud_event(self, number: int, at: str, kind: str, subject: str, data: dict[str, Any]) -> CloudEvent:
        state = self._state
        return {
            "specversion": "1.0",
            "id": f"{state.seq}.{number}",
            "source": f"/runs/{state.run_id}",
            "type": f"{PREFIX}{kind}.v1",
            "time": at,
            "subject": subject,
            "sequence": str(state.seq),
            "datacontenttype": "application/json",
            "data": data,
        }

    @property
    def _name(self) -> str:
        """The qualified name of the run: `{workflow}-{id}.{namespace}`."""
        return f"{self._state.workflow}-{self._state.run_id}.{self._namespace}"

    # --- the run ----------------------------------------------------------------------------------------------------

    def _of_run(self, event: h.AnyEvent, at: str) -> Found:
        match event:
            case h.RunStarted():
                return self._run_started(at)
            case h.RunPaused() | h.RunRolledBack():
                return [self._run("suspended", suspendedAt=at)]
            case h.RunResumed():
                return [self._run("resumed", resumedAt=at)]
            case h.RunCancelled():
                return [self._run("cancelled", cancelledAt=at)]
            case h.RunFailed():
                return [self._run("faulted", faultedAt=at, error=error_object(event.error))]
            case h.RunCompleted():
                return [self._run("completed", completedAt=at, output=event.output)]
            case h.SignalAwaited() if _is_listen(event) and event.key.endswith("@0"):
                return [self._run("correlation-started", startedAt=at)]
            case h.ValueRecorded() if event.key.endswith(CORRELATED):
                return [self._run("correlation-completed", completedAt=at, correlationKeys=event.value)]
        return []

    def _run(self, what: str, **data: Any) -> tuple[str, str, dict[str, Any]]:
        return f"workflow.{what}", self._state.run_id, {"name": self._name, **data}

    def _run_started(self, at: str) -> Found:
        """A run that goes on after a retry has started before."""
        if self._started:
            return [self._run("resumed", resumedAt=at)]
        self._started = True
        state = self._state
        definition = {"name": state.workflow, "namespace": self._namespace, "version": state.version}
        return [self._run("started", definition=definition, startedAt=at)]

    def _of_phase(self, at: str) -> Found:
        phase, self._phase = self._phase, PHASES[self._state.status]
        if phase == self._phase:
            return []
        return [self._run("status-changed", updatedAt=at, status=self._phase)]

    # --- its tasks --------------------------------------------------------------------------------------------------

    def _of_tasks(self, event: h.AnyEvent, touched: list[str], at: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        key = getattr(event, "key", "")
        match event:
            case h.EventEmitted():
                yield from self._open(key, at, started=True)
                yield self._end(key, "completed", completedAt=at, output=event.event)
            case h.ValueRecorded() if key.endswith(CORRELATED) and key.removesuffix(CORRELATED) in self._tasks:
                yield self._end(key.removesuffix(CORRELATED), "completed", completedAt=at)
            case h.AttemptStarted() if key in self._tasks:
                yield self._attempt(key, at)
            case h.RunPaused():
                yield from (self._task(open_key, "suspended", suspendedAt=at) for open_key in self._tasks)
            case h.RunResumed():
                yield from (self._task(open_key, "resumed", resumedAt=at) for open_key in self._tasks)
            case _ if isinstance(event, _OPENED):
                yield from self._open(_task_of(event), at, started=not isinstance(event, h.StepScheduled))
        yield from self._closed([key, *touched, *getattr(event, "cancelled", ())], at)

    def _open(self, key: str, at: str, *, started: bool) -> Found:
        if _PART_OF_TASK.search(key) or key in self._tasks:
            return []
        self._tasks[key] = started
        created = self._task(key, "created", createdAt=at)
        return [created, self._task(key, "started", startedAt=at)] if started else [created]

    def _attempt(self, key: str, at: str) -> tuple[str, str, dict[str, Any]]:
        if self._tasks[key]:
            return self._task(key, "retried", retriedAt=at)
        self._tasks[key] = True
        return self._task(key, "started", startedAt=at)

    def _closed(self, keys: list[str], at: str) -> Found:
        """The tasks that ended with the event: those it names, and at the end of the run all that are left."""
        state = self._state
        if state.phase in TERMINAL or state.phase is Status.PAUSED:
            keys = [*keys, *self._tasks]
        found = []
        for key in dict.fromkeys(keys):
            step = state.steps.get(key)
            if step is not None and step.closed and key in self._tasks:
                found.append(self._ended(key, step, at))
            elif self._is_over(key):
                task = key if key in self._tasks else _ROUND.sub("", key)
                found.append(self._end(task, "cancelled", cancelledAt=at))
        return found

    def _is_over(self, key: str) -> bool:
        """Whether a task of several steps (a `listen`) is cut off: one of its waits is, or the run has ended."""
        step = self._state.steps.get(key)
        if step is None:
            return key in self._tasks and self._state.phase in TERMINAL
        return step.status is StepStatus.CANCELLED and _ROUND.sub("", key) in self._tasks

    def _ended(self, key: str, step: Step, at: str) -> tuple[str, str, dict[str, Any]]:
        if step.status is StepStatus.CANCELLED:
            return self._end(key, "cancelled", cancelledAt=at)
        if step.status is StepStatus.FAILED:
            error = error_object(step.error) if step.error is not None else {}
            return self._end(key, "faulted", faultedAt=at, error=error)
        return self._end(key, "completed", completedAt=at, output=_output(step))

    def _end(self, key: str, what: str, **data: Any) -> tuple[str, str, dict[str, Any]]:
        self._tasks.pop(key, None)
        return self._task(key, what, **data)

    def _task(self, key: str, what: str, **data: Any) -> tuple[str, str, dict[str, Any]]:
        pointer = pointer_of(key)
        return f"task.{what}", pointer, {"workflow": self._name, "task": pointer, **data}


def pointer_of(key: str) -> str:
    """The JSON pointer of the task that a step belongs to: its key without rounds, attempts and visits."""
    return _COUNTER.sub("", key)


def _is_listen(event: h.SignalAwaited) -> bool:
    return event.signal.startswith("event:")


def _task_of(event: Any) -> str:
    """The key of the task that an opened step belongs to: a `listen` waits many times."""
    key = str(event.key)
    return _ROUND.sub("", key) if isinstance(event, h.SignalAwaited) and _is_listen(event) else key


def _output(step: Step) -> Any:
    """A signal's data is the output, not what is around it."""
    if step.kind is not StepKind.SIGNAL or step.output == h.NULL:
        return step.output
    return msgspec.json.decode(step.output)["data"]


def error_object(error: Problem) -> dict[str, Any]:
    """The standard's error: RFC 9457 members."""
    members = {
        "type": error.type,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": error.instance,
    }
    return {name: value for name, value in members.items() if value != ""}
