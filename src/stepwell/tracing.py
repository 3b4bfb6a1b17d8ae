"""Traces with OpenTelemetry: a span for every run, step and attempt, made of the history once that is on disk.

No span is kept open, so none is lost: whoever drives the run when a step ends sends its span, under the id that the
history gives it (`core.trace`). The parent may be sent later than its children; a run's span comes with its end.
Importing this module imports OpenTelemetry, which is an extra.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.core import history as h
from stepwell.core.errors import Problem
from stepwell.core.place import TRACEPARENT
from stepwell.core.program import StepContext, Work
from stepwell.core.state import Attempt, State, Step, StepKind
from stepwell.core.trace import NO_SPAN, attempt_span, begun, parts_of, run_span, step_span, under
from stepwell.store.model import NAME_LABEL

_ENDED: Final[dict[type, str]] = {h.RunCompleted: "completed", h.RunFailed: "failed", h.RunCancelled: "cancelled"}
_ENDS: Final = tuple(_ENDED)
_AGAIN: Final = (h.RunRetried, h.RunRolledBack)
_MANY: Final = (*_ENDS, h.RunRolledBack, h.SignalReceived)
"""What may close steps that it does not name: all steps are looked through then."""
_SCOPE: Final = InstrumentationScope("stepwell")
_PROPAGATOR: Final = TraceContextTextMapPropagator()


def exporting_to(endpoint: str) -> SpanProcessor:
    """Sends spans in batches by OTLP over HTTP, on a thread of its own; `OTEL_EXPORTER_OTLP_HEADERS` and
    `OTEL_BSP_...` hold (OpenTelemetry specification, "Environment variables").
    """
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


class OtelTracing:
    """`engine.tracing.Tracing`. Runs are sampled as `OTEL_TRACES_SAMPLER` says, by default as their caller was.

    `hide` takes secrets out of the texts of errors.
    """

    def __init__(self, spans: SpanProcessor, *, hide: Callable[[str], str] = str) -> None:
        self._spans = spans
        self._hide = hide
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._resource = _resource()

    async def aclose(self) -> None:
        """Send what waits, then let go."""
        await asyncio.to_thread(self._spans.shutdown)

    # --- what the engine asks ---------------------------------------------------------------------------------------

    def begin(self, run_id: str) -> str:
        parent = trace.get_current_span().get_span_context()
        here = context.get_current()
        own = begun(run_id, sampled=False)
        trace_id = parent.trace_id if parent.is_valid else int(parts_of(own)[0], 16)
        sampled = self._sampler.should_sample(here, trace_id, "run").decision is Decision.RECORD_AND_SAMPLE
        if not parent.is_valid:
            return begun(run_id, sampled=sampled)
        return f"00-{parent.trace_id:032x}-{parent.span_id:016x}-{'01' if sampled else '00'}"

    async def perform(self, work: Work, attempt: StepContext) -> Any:
        traceparent = attempt.traceparent
        if not traceparent:
            return await work(attempt)
        span = NonRecordingSpan(_context_of(traceparent))
        token = context.attach(trace.set_span_in_context(span))
        try:
            return await work(attempt)
        finally:
            context.detach(token)

    def committed(self, state: State, first_seq: int, events: Sequence[h.AnyEvent]) -> None:
        if not parts_of(state.trace)[2]:
            return
        generation = state.generation - sum(isinstance(event, _AGAIN) for event in events)
        for seq, event in enumerate(events, first_seq):
            generation += isinstance(event, _AGAIN)
            if event.at < state.created_at:
                continue  # the outcome of another run, which this one is a fork of
            for key, step in _closed_by(state, seq, event):
                self._step_ended(state, generation, key, step)
            if isinstance(event, h.AttemptStarted | h.AttemptFailed):
                self._attempt_ended(state, event)
            elif isinstance(event, _ENDS):
                self._run_ended(state, generation, event)

    # --- spans ------------------------------------------------------------------------------------------------------

    def _run_ended(self, state: State, generation: int, event: h.AnyEvent) -> None:
        error = getattr(event, "error", None)
        self._send(
            state.labels.get(NAME_LABEL) or state.workflow,
            _context_of(under(state.trace, run_span(state.run_id, generation))),
            parent=parts_of(state.trace)[1],
            times=(min(state.begun_at or state.created_at, event.at), event.at),
            error=error,
            attributes={
                "stepwell.run.id": state.run_id,
                "stepwell.run.status": _ENDED[type(event)],
                "stepwell.run.generation": generation,
                "stepwell.workflow": state.workflow,
                "stepwell.workflow.version": state.version,
            },
        )

    def _step_ended(self, state: State, generation: int, key: str, step: Step) -> None:
        if step.kind is StepKind.CALL and step.started_at is not None and step.attempt_error is None:
            self._send_attempt(state, key, step, step.attempts()[-1])
        self._send(
            step.name or key,
            _context_of(under(state.trace, step_span(state.run_id, key, step.opened_at))),
            parent=run_span(state.run_id, generation),
            times=(step.opened_at, step.closed_at),
            error=step.error,
            attributes={
                "stepwell.run.id": state.run_id,
                "stepwell.step.key": key,
                "stepwell.step.kind": step.kind,
                "stepwell.step.status": step.status,
            },
        )

    def _attempt_ended(self, state: State, event: h.AttemptStarted | h.AttemptFailed) -> None:
        """An attempt failed; or it was cut off, and the next one begins."""
        step, failed = state.steps[event.key], isinstance(event, h.AttemptFailed)
        number = event.attempt if failed else event.attempt - 1
        for attempt in step.attempts():
            if attempt.number == number and attempt.ended_at == event.at and (attempt.error is not None) is failed:
                self._send_attempt(state, event.key, step, attempt)

    def _send_attempt(self, state: State, key: str, step: Step, attempt: Attempt) -> None:
        assert attempt.ended_at is not None, "it has ended"
        self._send(
            f"{step.name or key} attempt",
            _context_of(under(state.trace, attempt_span(state.run_id, key, attempt.number))),
            parent=step_span(state.run_id, key, step.opened_at),
            times=(attempt.started_at, attempt.ended_at),
            error=attempt.error,
            attributes={
                "stepwell.run.id": state.run_id,
                "stepwell.step.key": key,
                "stepwell.attempt": attempt.number,
            },
        )

    def _send(
        self,
        name: str,
        span: SpanContext,
        *,
        parent: str,
        times: tuple[float, float],
        error: Problem | None,
        attributes: dict[str, Any],
    ) -> None:
        if error is not None:
            attributes["error.type"] = self._hide(error.type)
        self._spans.on_end(
            ReadableSpan(
                name,
                span,
                parent=_span_context(span.trace_id, parent, sampled=True) if parent != NO_SPAN else None,
                resource=self._resource,
                attributes=attributes,
                status=Status(StatusCode.OK) if error is None else Status(StatusCode.ERROR, self._hide(error.detail)),
                start_time=_nanoseconds(times[0]),
                end_time=_nanoseconds(times[1]),
                instrumentation_scope=_SCOPE,
            )
        )

    # --- what the server asks ---------------------------------------------------------------------------------------

    def middleware(self) -> Middleware:
        """Takes the caller's trace from the headers of a request: runs that this starts are part of it."""
        return Middleware(CallersTrace)


class CallersTrace:
    """ASGI middleware. A header that is none is left alone (W3C Trace Context §4.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope.get("headers", ()) if name == b"traceparent"]
        if len(given) != 1:
            await self._app(scope, receive, send)
            return
        token = context.attach(_PROPAGATOR.extract({TRACEPARENT: given[0].decode("latin-1")}))
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)


def _closed_by(state: State, seq: int, event: h.AnyEvent) -> Iterator[tuple[str, Step]]:
    """The steps that were closed by an event, as far as they are not begun anew already."""
    if isinstance(event, _MANY):
        yield from ((key, step) for key, step in state.steps.items() if step.closed_seq == seq)
        return
    keys = event.cancelled if isinstance(event, h.RaceDecided) else (getattr(event, "key", ""),)
    for key in keys:
        step = state.steps.get(key)
        if step is not None and step.closed_seq == seq:
            yield key, step


def _context_of(traceparent: str) -> SpanContext:
    trace_id, span_id, sampled = parts_of(traceparent)
    return _span_context(int(trace_id, 16), span_id, sampled=sampled)


def _span_context(trace_id: int, span_id: str, *, sampled: bool) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), is_remote=False, trace_flags=TraceFlags(int(sampled)))


def _nanoseconds(at: float) -> int:
    return round(at * 1_000_000) * 1_000


def _resource() -> Resource:
    """What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say, else the service is called stepwell."""
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "stepwell"}))
    return found
