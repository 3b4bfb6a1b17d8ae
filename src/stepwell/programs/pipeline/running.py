"""Runs one execution: a generator that asks for what it cannot do itself.

What it yields is done by whoever runs it: a message is sent (or only shown), a wait is waited (or skipped), a query
is read, a message is expected. It reads no clock and no randomness but the execution's.
"""

from collections.abc import Generator
from typing import Any, Final

import msgspec

from stepwell.brokers.port import Outgoing
from stepwell.core.place import TRACEPARENT
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.execution import MAX_COPIED, Execution
from stepwell.programs.pipeline.expecting import Expectation
from stepwell.programs.pipeline.faults import PathNotFoundError, RuleError
from stepwell.programs.pipeline.model import Loop, Pipeline, Stage
from stepwell.programs.pipeline.querying import Query
from stepwell.programs.pipeline.values import UNTOUCHED


class Message(Outgoing, frozen=True, kw_only=True, gc=False):
    """A message to be sent: number `n` of its execution, from 1. `header` and `payload` (JSON text) are what is shown
    of it; the headers and the body are what the broker gets.
    """

    execution: int
    n: int
    stage: str
    header: dict[str, Any]
    payload: msgspec.Raw


class Breath(msgspec.Struct, frozen=True):
    """Nothing is wanted: whoever runs it may let others go on."""


class Wait(msgspec.Struct, frozen=True):
    """So many seconds are to pass."""

    seconds: float


class Lookup(msgspec.Struct, frozen=True):
    """A record is wanted: answer with it (a mapping), or with None when there is none; or pass it over."""

    query: Any  # a Query
    wanted: Any  # a Wanted


class Expecting(msgspec.Struct, frozen=True):
    """A message is expected: answer with its content. `matches` says which one it is."""

    expectation: Any  # an Expectation
    matches: Any


Effect = Message | Breath | Wait | Lookup | Expecting
BREATH: Final = Breath()
MAX_OUTPUT_EVENTS: Final = 1_000
"""Of one execution that reads them."""
BREATH_EVERY: Final = 100
"""Passes of a loop."""


class Passed:
    """The answer to a lookup or an expectation that is passed over: nothing is written."""


PASSED = Passed()
Running = Generator[Effect, Any, None]


def run_execution(pipeline: Pipeline, execution: Execution) -> Running:
    """Every effect of an execution, in order. Raises `RuleError`."""
    for assign in pipeline.state:
        assign(execution)
    for stage in pipeline.stages:
        if execution.left < MAX_COPIED and execution.begin_pass():
            yield BREATH
        if stage.follows:
            execution.payload, execution.headers, execution.key = {}, {}, None
        if stage.source == "previous-stage":
            _take_last(execution)
        if stage.plain:
            message = _compose(pipeline, stage, execution)
            if message is not None:
                yield message
        elif stage.loop is None:
            yield from _run_pass(pipeline, stage, execution)
        else:
            yield from _run_loop(pipeline, stage, stage.loop, execution)


def _take_last(execution: Execution) -> None:
    if execution.last is None:
        raise PathNotFoundError("lastAppendedEvent.payload")
    execution.payload = execution.copied(execution.last["payload"])


def _run_loop(pipeline: Pipeline, stage: Stage, loop: Loop, execution: Execution) -> Running:
    for iteration in range(1, loop.most + 1):
        if (execution.left < MAX_COPIED and execution.begin_pass()) or not iteration % BREATH_EVERY:
            yield BREATH
        execution.memory.meta["loop"] = {"currentIteration": iteration, "totalIterations": loop.most}
        if loop.goes_on is not None and not loop.goes_on(execution):
            return
        yield from _run_pass(pipeline, stage, execution)
        if loop.ends is not None and loop.ends(execution):
            return


def _run_pass(pipeline: Pipeline, stage: Stage, execution: Execution) -> Running:
    if stage.query is not None:
        yield from _look_up(stage.query, execution)
    message = _compose(pipeline, stage, execution)
    if message is not None:
        yield message
    if stage.expect is not None:
        yield from _expect(stage.expect, execution)
    if stage.wait_s:
        yield Wait(stage.wait_s)
        execution.waited_s += stage.wait_s
        execution.memory.meta["lastWait"] = {
            "millis": round(stage.wait_s * 1000),
            "simulated": execution.origin.simulated,
        }


def _compose(pipeline: Pipeline, stage: Stage, execution: Execution) -> Message | None:
    """The assignments of a pass, and its message; None when it emits none."""
    for assign in stage.assigns:
        assign(execution)
    if stage.emits is None:
        return None
    emitted = stage.emits is True or stage.emits(execution)
    if emitted and stage.headers:
        _set_headers(stage, execution)
    if stage.key is not None:
        _set_key(stage, execution)
    return _emitted(pipeline, stage, execution) if emitted else None


def _look_up(query: Query, execution: Execution) -> Running:
    record = yield Lookup(query, query.wanted(execution))
    if record is PASSED:
        query.note(execution, 0)
    else:
        query.take(execution, record)


def _expect(expectation: Expectation, execution: Execution) -> Running:
    content = yield Expecting(expectation, expectation.matcher(execution))
    if content is not PASSED:
        expectation.take(execution, content)


def _set_headers(stage: Stage, execution: Execution) -> None:
    headers: dict[str, Any] = {}
    for name, value in stage.headers.items():
        result = value(execution)
        if result is not UNTOUCHED:
            headers[name] = result
    execution.headers = headers


def _set_key(stage: Stage, execution: Execution) -> None:
    """The key as text; none for null and for empty text."""
    assert stage.key is not None
    result = stage.key(execution)
    if result is UNTOUCHED:
        return
    text = result if isinstance(result, str) else "" if result is None else JSON.encode(result).decode()
    execution.key = text or None


def _emitted(pipeline: Pipeline, stage: Stage, execution: Execution) -> Message:
    """The message of this pass, on record in the execution."""
    if stage.unsendable:
        raise RuleError(stage.unsendable)
    execution.sent = n = execution.sent + 1
    header, trace = execution.headers, execution.origin.trace
    text = JSON.encode(execution.payload)
    message = Message(
        message_id=f"{execution.origin.run_id}/{execution.index}/{n}",
        body=text if stage.encoding is None else _encoded(stage, execution),
        headers=_wired(header, trace) if header else trace,
        content_type=stage.content_type,
        topic=stage.topic,
        key=execution.key,
        exchange=stage.exchange,
        routing_key=stage.routing_key,
        execution=execution.index,
        n=n,
        stage=stage.name,
        header=header,
        payload=msgspec.Raw(text),
    )
    if pipeline.reads:
        _remember(pipeline, stage, execution)
    return message


def _wired(headers: dict[str, Any], trace: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    """The headers of a message for the broker, and where its attempt stands in a trace, unless they say that."""
    own = tuple((name, _wire(value)) for name, value in headers.items())
    return own if TRACEPARENT in headers else (*own, *trace)


def _wire(value: Any) -> bytes:
    """A header for the broker: texts as they are, anything else as JSON."""
    return value.encode() if isinstance(value, str) else JSON.encode(value)


def _encoded(stage: Stage, execution: Execution) -> bytes:
    assert stage.encoding is not None
    schema = stage.encoding.schema
    try:
        body: bytes = schema.encode(execution.payload)
    except ValueError as fault:
        raise RuleError(
            f"Failed to map payload to protobuf message '{schema.name}' for step: {stage.id}-send ({fault})"
        ) from None
    return stage.encoding.prefix + body


def _remember(pipeline: Pipeline, stage: Stage, execution: Execution) -> None:
    """What later stages may refer to: only what this pipeline does refer to is kept."""
    reads = pipeline.reads
    if "lastAppendedEvent" in reads or "outputEvents" in reads or "stages" in reads:
        last: dict[str, Any] = {"header": dict(execution.headers), "payload": execution.copied(execution.payload)}
        if execution.key is not None:
            last["key"] = execution.key
        execution.last = last
        execution.memory.stages[stage.name] = last
        if "outputEvents" in reads:
            if len(execution.memory.output_events) >= MAX_OUTPUT_EVENTS:
                raise RuleError(f"outputEvents holds at most {MAX_OUTPUT_EVENTS} events")
            execution.memory.output_events.append({"stageName": stage.name, **last})
    if "meta" in reads or "meta.lastSend" in reads:
        to = stage.destination
        execution.memory.meta["lastSend"] = {
            "count": 1,
            "messageType": to.type,
            "contentType": stage.content_type,
            "producerName": to.producer,
            "topic": to.topic,
            "exchange": to.exchange,
            "routingKey": to.routing_key,
            "sourcePath": "currentEvent",
            "simulated": execution.origin.simulated,
        }
    if stage.encoding is not None and stage.encoding.prefix and ("meta" in reads or "meta.lastWireFormat" in reads):
        execution.memory.meta["lastWireFormat"] = {
            "type": "binary-prefix",
            "prefixSize": len(stage.encoding.prefix),
            "prefixSource": stage.encoding.prefix_source,
            "prefixValue": int.from_bytes(stage.encoding.prefix, "big"),
            "sourcePath": "currentEvent",
            "targetPath": "currentEvent",
        }
