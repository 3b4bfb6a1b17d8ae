"""Contexts that runs are to start from, checked before there is a run. Pure.

The package reads a context piece by piece and trusts it: what is wrong inside shows when its control loop stumbles
over it. So here a context is read as a run would read it, looked through, taken up by the loop's pure part, and
written.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.core.typed import CONTEXT
from stepwell.programs.code.codec import plain
from stepwell.programs.code.hosting import Beginning, Hosted
from stepwell.programs.code.seam import (
    BrokerState,
    Event,
    StateCheckpoint,
    TickAddEvent,
    TickSessionStart,
    WorkflowTick,
    rebuild_state_from_ticks,
)

MAX_TEXT: Final = 2_000
MAX_NUMBER: Final = 2**53
"""Of counters and of instants, in seconds: far beyond what any run comes to."""


def context_fault(hosted: Hosted, input: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """What is wrong with the context in a run's input, in one sentence; "" when nothing is, or when there is none."""
    context = input.get(CONTEXT)
    if context is None:
        return ""
    if not isinstance(context, dict):
        return f"expected an object, found {_named(context)}"
    try:
        begins = hosted.begin(input, labels)
        _check(begins, hosted)
    except Exception as fault:  # noqa: BLE001  whatever reading it comes to: the package has no error of its own
        text = str(fault) if isinstance(fault, ValueError) else f"{type(fault).__name__}: {fault}"
        return text[:MAX_TEXT]
    return ""


def _named(value: Any) -> str:
    return {list: "an array", str: "a text", bool: "true or false"}.get(type(value), "a number")


def _check(begins: Beginning, hosted: Hosted) -> None:
    """Raises whatever tells what is wrong."""
    broker: BrokerState = begins.broker
    for number in _numbers(broker):
        if not -MAX_NUMBER <= number <= MAX_NUMBER:
            raise ValueError(f"expected a number that a run can come to, found {number}")
    for event in _events(broker):
        if not isinstance(event, Event):
            raise ValueError(f"expected an event, found {type(event).__name__}")
    for event, kinds in _taken(broker):
        if not isinstance(event, kinds):
            raise ValueError(f"expected {' or '.join(kind.__name__ for kind in kinds)}, found {event!r}")
    _check_state(begins, hosted)
    ticks: list[WorkflowTick] = [TickSessionStart(stamped_at=0.0)]
    if not broker.is_running:
        ticks.append(TickAddEvent(event=hosted.start_event(begins.fields)))
    begun = rebuild_state_from_ticks(broker.deepcopy(), ticks)
    plain(begun.to_serialized(hosted.codec.serializer).model_dump(mode="json"))


def _check_state(begins: Beginning, hosted: Hosted) -> None:
    if begins.state is None:
        return
    if not isinstance(begins.state, hosted.state_type):
        expected, found = hosted.state_type.__name__, type(begins.state).__name__
        raise ValueError(f"expected a state of the type {expected}, found {found}")
    plain(StateCheckpoint(begins.state, hosted.codec.serializer).to_dict())


def _events(broker: BrokerState) -> Iterator[Any]:
    """Everything that should be an event."""
    for worker in broker.workers.values():
        for attempt in _attempts(worker):
            yield attempt.event
            yield from (attempt.bound_events or {}).values()
        for buffers in (worker.collected_events, *(one.shared_state.collected_events for one in worker.in_progress)):
            for buffer in buffers.values():
                yield from buffer
        yield from worker.static_collect_events
        for waiter in worker.collected_waiters:
            yield waiter.event
            yield from (waiter.bound_events or {}).values()
            if waiter.resolved_event is not None:
                yield waiter.resolved_event
    for delivery in broker.deliveries.values():
        yield delivery.event
    for release in broker.collection_release_states.values():
        yield from release.buffer


def _taken(broker: BrokerState) -> Iterator[tuple[Event, tuple[type[Event], ...]]]:
    """Events that steps are to take one by one, with the classes that they take."""
    for worker in broker.workers.values():
        config = worker.config
        if config.collection_param is None and not config.collect_params:
            kinds = tuple(config.accepted_events)
            yield from ((attempt.event, kinds) for attempt in _attempts(worker))
            yield from ((waiter.event, kinds) for waiter in worker.collected_waiters)
        for waiter in worker.collected_waiters:
            if waiter.resolved_event is not None:
                yield waiter.resolved_event, (waiter.waiting_for_event,)


def _numbers(broker: BrokerState) -> Iterator[float]:
    """The numbers that the control loop counts with."""
    yield from (broker.stream_seq, broker.work_item_seq, broker.invocation_seq, broker.journal_seq)
    yield from (broker.elapsed_alive, broker.last_alive_stamp or 0)
    for worker in broker.workers.values():
        for attempt in _attempts(worker):
            yield attempt.attempts or 0
            yield from (attempt.first_attempt_at or 0, attempt.last_failed_at or 0)
        yield from (attempt.not_before or 0 for attempt in worker.queue)


def _attempts(worker: Any) -> tuple[Any, ...]:
    return (*worker.queue, *worker.in_progress)
