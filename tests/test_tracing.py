"""Traces: what becomes of runs, steps and attempts as spans, and where their trace is carried along.

Spans are read from the SDK's own exporter in memory; that they reach a collector is tried with real OTLP over HTTP.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import stepwell
from brokers.kafka import KafkaCluster
from doors.agents.door import RUNS, open_door
from doors.agents.door import call as calling
from doors.kit.things import client_of
from stepwell.core import history as h
from stepwell.core.trace import NO_SPAN, attempt_span, is_traceparent, parts_of, run_span
from stepwell.engine.ids import workflow_uuid
from stepwell.settings import Settings

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""The example of W3C Trace Context, §3.2.3."""


class Spans:
    """What an app has sent so far."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self.exporter)

    @property
    def all(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())

    def one(self, name: str) -> Any:
        (found,) = [span for span in self.all if span.name == name]
        return found

    def tree(self) -> dict[str, str | None]:
        """Name to the name of the parent, where that was sent too."""
        names = {span.context.span_id: span.name for span in self.all}
        return {span.name: names.get(span.parent.span_id) if span.parent else None for span in self.all}


async def created_of(app: stepwell.App, run_id: str) -> h.RunCreated:
    created = (await app.engine.history(run_id, limit=1))[0]
    assert isinstance(created, h.RunCreated)
    return created


def app_on(path: Path, spans: Spans | None = None, **settings: Any) -> stepwell.App:
    app = stepwell.App(
        settings=Settings(db=f"sqlite:///{path}/traced.db", console=False, **settings),
        spans=spans.processor if spans else None,
    )

    @app.function
    async def look(ctx: stepwell.StepContext) -> dict[str, str]:
        current = trace.get_current_span().get_span_context()
        return {"carried": ctx.traceparent, "current": f"{current.trace_id:032x}-{current.span_id:016x}"}

    @app.function(retry=stepwell.RetryPolicy(max_attempts=2, initial_s=0))
    def flaky(ctx: stepwell.StepContext) -> str:
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return "done"

    return app


def flow(name: str, tasks: str) -> str:
    return f"document: {{dsl: '1.0.3', namespace: tests, name: {name}, version: '1.0.0'}}\ndo:\n{tasks}"


async def run_flow(app: stepwell.App, tasks: str, name: str = "traced", input: Any = None) -> Any:
    await app.engine.save(kind="flow", name=name, version="1.0.0", text=flow(name, tasks))
    return await app.engine.run(name, input, timeout_s=20)


async def test_a_run_its_steps_and_their_attempts_are_one_trace(tmp_path: Path) -> None:
    spans = Spans()
    async with app_on(tmp_path, spans) as app:
        result = await run_flow(
            app, "- look: {call: look}\n- flaky: {call: flaky}\n- rest: {wait: {milliseconds: 5}}\n"
        )

    assert spans.tree() == {
        "traced": None,
        "look": "traced",
        "look attempt": "look",
        "flaky": "traced",
        "flaky attempt": "flaky",
        "rest": "traced",
    }
    assert {f"{span.context.trace_id:032x}" for span in spans.all} == {result.run_id.replace("-", "")}
    tries = [span for span in spans.all if span.name == "flaky attempt"]
    assert [span.attributes["stepwell.attempt"] for span in tries] == [1, 2]
    assert [span.status.status_code for span in tries] == [StatusCode.ERROR, StatusCode.OK]
    for span in spans.all:
        assert span.start_time <= span.end_time
        assert span.attributes["stepwell.run.id"] == result.run_id
        assert spans.one("traced").start_time <= span.start_time


async def test_functions_find_the_span_of_their_attempt(tmp_path: Path) -> None:
    async with app_on(tmp_path, Spans()) as app:
        found = (await run_flow(app, "- look: {call: look}\n")).output

    assert is_traceparent(found["carried"])
    assert found["carried"][3:52] == found["current"]


async def test_a_run_goes_on_in_its_trace_after_a_restart(tmp_path: Path) -> None:
    before, after = Spans(), Spans()
    tasks = "- first: {call: look}\n- ask: {call: approval, with: {prompt: go on?}}\n- second: {call: look}\n"
    async with app_on(tmp_path, before) as app:
        await app.engine.save(kind="flow", name="traced", version="1.0.0", text=flow("traced", tasks))
        run_id = (await app.engine.start("traced")).run_id
        async for seen in app.engine.watch(run_id):
            if isinstance(seen.event, h.ApprovalRequested):
                approval_id = seen.event.approval_id
                break
    async with app_on(tmp_path, after) as app:
        await app.engine.decide_approval(run_id, approval_id, approved=True)
        await app.engine.result(run_id, timeout_s=20)

    assert set(before.tree()) == {"first", "first attempt"}
    assert after.tree() == {"traced": None, "ask": "traced", "second": "traced", "second attempt": "second"}
    assert before.one("first").parent == after.one("traced").context


async def test_what_fails_says_so_without_secrets(tmp_path: Path) -> None:
    spans = Spans()
    async with app_on(tmp_path, spans) as app:

        @app.function
        def leak() -> None:
            raise ValueError("https://ann:open-sesame@a.example/ did not answer")

        await run_flow(app, "- leak: {call: leak}\n")

    for name in ("traced", "leak", "leak attempt"):
        status = spans.one(name).status
        assert status.status_code is StatusCode.ERROR
        assert "did not answer" in str(status.description)
        assert "open-sesame" not in str(status.description)


async def test_secret_in_the_type_of_an_error_is_hidden_too(tmp_path: Path) -> None:
    spans = Spans()
    error = "{type: 'https://ann:open-sesame@a.example/odd', status: 400}"
    async with app_on(tmp_path, spans) as app:
        await run_flow(app, f"- give: {{raise: {{error: {error}}}}}\n")
    assert spans.one("traced").attributes["error.type"] == "https://***@a.example/odd"


async def test_secret_input_of_a_template_is_in_no_span(tmp_path: Path) -> None:
    spans = Spans()
    async with app_on(tmp_path, spans) as app, open_door(app) as door:

        @app.function
        def leak(given: str) -> None:
            raise ValueError(f"{given} is wrong")

        step = calling("leak", "leak", args={"given": "{{ input.key }}"})
        template_id = await door.template(step, variables=[{"name": "key", "type": "secret"}])
        body = {"template_id": template_id, "input": {"key": "correct horse"}}
        await door.ended((await door.post(RUNS, body, status=201))["id"])

    sent = "".join(span.to_json() for span in spans.all)
    assert "*** is wrong" in sent
    assert "correct horse" not in sent


async def test_children_and_races_stay_in_the_trace(tmp_path: Path) -> None:
    spans = Spans()
    async with app_on(tmp_path, spans) as app:
        await app.engine.save(
            kind="flow", name="child", version="1.0.0", text=flow("child", "- look: {call: look}\n")
        )
        child = "{run: {workflow: {namespace: tests, name: child, version: '1.0.0'}}}"
        branches = f"[{{call: {child}}}, {{slow: {{wait: {{minutes: 1}}}}}}]"
        await run_flow(app, f"- both: {{fork: {{compete: true, branches: {branches}}}}}\n")
        tree = spans.tree()

    assert (tree["child"], tree["look"]) == ("call", "child")
    assert spans.one("slow").attributes["stepwell.step.status"] == "cancelled"
    assert len({span.context.trace_id for span in spans.all}) == 1


async def test_a_retry_is_another_span_of_the_same_trace(tmp_path: Path) -> None:
    spans = Spans()
    works: list[bool] = []
    async with app_on(tmp_path, spans) as app:

        @app.function
        def gate() -> None:
            if not works:
                raise ValueError("closed")

        run_id = (await run_flow(app, "- gate: {call: gate}\n")).run_id
        works.append(True)
        await app.engine.retry(run_id)
        await app.engine.result(run_id, timeout_s=20)

    first, second = [span for span in spans.all if span.name == "traced"]
    assert (first.attributes["stepwell.run.generation"], second.attributes["stepwell.run.generation"]) == (1, 2)
    assert first.context.trace_id == second.context.trace_id
    assert first.end_time <= second.start_time
    assert len({span.context.span_id for span in spans.all}) == len(spans.all) == 6


async def test_nothing_is_kept_or_sent_when_it_is_off(tmp_path: Path) -> None:
    async with app_on(tmp_path) as app:
        result = await run_flow(app, "- look: {call: look}\n")
        created = await created_of(app, result.run_id)

    assert result.output == {"carried": "", "current": f"{NO_SPAN * 2}-{NO_SPAN}"}
    assert created.trace == ""


# --- at the doors ---------------------------------------------------------------------------------------------------


def served(app: stepwell.App) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    return client_of(app.asgi(), raising=True, base_url="http://127.0.0.1")


async def started(app: stepwell.App, client: httpx.AsyncClient, traceparent: str) -> str:
    """The trace of a run that a request began."""
    await app.engine.save(kind="flow", name="traced", version="1.0.0", text=flow("traced", "- look: {call: look}\n"))
    body = {"template_id": workflow_uuid("traced"), "input": {}}
    answer = await client.post("/api/v1/workflows", json=body, headers={"Traceparent": traceparent})
    run_id = answer.json()["id"]
    await app.engine.result(run_id, timeout_s=20)
    created = await created_of(app, run_id)
    return str(created.trace)


async def test_a_run_is_part_of_its_callers_trace(tmp_path: Path) -> None:
    spans = Spans()
    app = app_on(tmp_path, spans)
    async with served(app) as client:
        assert await started(app, client, CALLER) == CALLER

    assert f"{spans.one('traced').parent.span_id:016x}" == CALLER[36:52]
    assert spans.tree() == {"traced": None, "look": "traced", "look attempt": "look"}


async def test_what_the_caller_does_not_sample_is_carried_and_not_sent(tmp_path: Path) -> None:
    spans = Spans()
    app = app_on(tmp_path, spans)
    async with served(app) as client:
        assert await started(app, client, f"{CALLER[:-2]}00") == f"{CALLER[:-2]}00"

    assert not spans.all


@pytest.mark.parametrize("header", ["", "rubbish", f"00-{'0' * 32}-{'1' * 16}-01", f"ff{CALLER[2:]}", CALLER.upper()])
async def test_a_header_that_is_none_begins_a_trace(tmp_path: Path, header: str) -> None:
    spans = Spans()
    app = app_on(tmp_path, spans)
    async with served(app) as client:
        kept = await started(app, client, header)

    assert is_traceparent(kept)
    assert parts_of(kept)[1:] == (NO_SPAN, True)
    assert spans.one("traced").parent is None


# --- elsewhere ------------------------------------------------------------------------------------------------------


class Listener:
    """A real HTTP server that notes what it is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.came = threading.Event()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listener.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                listener.came.set()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = threading.Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield listener
    listener.server.shutdown()
    thread.join()
    listener.server.server_close()


def call(url: str, headers: str = "{}") -> str:
    return f"- call: {{call: http, with: {{method: post, endpoint: '{url}', headers: {headers}}}}}\n"


async def test_http_calls_carry_the_span_of_their_attempt(tmp_path: Path, listener: Listener) -> None:
    async with app_on(tmp_path, Spans()) as app:
        result = await run_flow(app, call(listener.url))
        created = await created_of(app, result.run_id)

    ((headers, _),) = listener.requests
    span = attempt_span(result.run_id, "/do/0/call", 1)
    assert headers["traceparent"] == f"{created.trace[:36]}{span}-01"


async def test_a_header_of_the_documents_own_stays(tmp_path: Path, listener: Listener) -> None:
    async with app_on(tmp_path, Spans()) as app:
        await run_flow(app, call(listener.url, f"{{Traceparent: {CALLER}}}"))

    ((headers, _),) = listener.requests
    assert headers["traceparent"] == CALLER


async def test_untraced_calls_carry_nothing(tmp_path: Path, listener: Listener) -> None:
    async with app_on(tmp_path) as app:
        await run_flow(app, call(listener.url))

    ((headers, _),) = listener.requests
    assert "traceparent" not in headers


@pytest.mark.parametrize("own", [False, True], ids=["none of its own", "one of its own"])
async def test_messages_carry_the_span_of_their_attempt(tmp_path: Path, own: bool) -> None:
    cluster = KafkaCluster()
    connections = tmp_path / "connections.yaml"
    connections.write_text(f"kafka: [{{name: p, bootstrap-servers: '{cluster.bootstrap_servers}'}}]\n")
    headers: dict[str, str] = {"traceparent": CALLER} if own else {"shop": "north"}
    stage = {"stage": "s", "emit": True, "set": {"n": 1}, "headers": headers}
    document = {"id": "orders", "producerName": "p", "topic": "t", "executions": 1, "pipeline": [stage]}
    app = app_on(tmp_path, Spans(), connections=str(connections))
    async with app, served(app) as client:
        run_id = (await client.post("/engine/execute", json=document)).json()["runId"]
        await app.engine.result(run_id, timeout_s=20)
        created, events = await created_of(app, run_id), await app.engine.history(run_id)
        (message,) = await asyncio.to_thread(cluster.read, "t", 1)

    key = next(event.key for event in events if isinstance(event, h.StepScheduled))
    ours = f"{created.trace[:36]}{attempt_span(run_id, key, 1)}-01"
    found = {name: value.decode() for name, value in message.headers() if name != "message-id"}
    assert found == (headers if own else {**headers, "traceparent": ours})


async def test_spans_reach_a_collector_by_otlp(tmp_path: Path, listener: Listener) -> None:
    async with app_on(tmp_path, otel_endpoint=listener.url) as app:
        result = await run_flow(app, "- look: {call: look}\n")

    sent = ExportTraceServiceRequest()
    for _, body in listener.requests:
        sent.MergeFromString(body)
    (service,) = {
        one.value.string_value
        for group in sent.resource_spans
        for one in group.resource.attributes
        if one.key == "service.name"
    }
    spans = {span.name: span for group in sent.resource_spans for scope in group.scope_spans for span in scope.spans}
    assert service == "stepwell"
    assert set(spans) == {"traced", "look", "look attempt"}
    assert spans["traced"].span_id.hex() == run_span(result.run_id, 1)
    assert spans["look"].parent_span_id == spans["traced"].span_id
    assert spans["look attempt"].parent_span_id == spans["look"].span_id


async def test_a_collector_that_is_not_there_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    async with app_on(tmp_path, otel_endpoint="http://127.0.0.1:9/v1/traces") as app:
        result = await run_flow(app, "- look: {call: look}\n")

    assert result.status == "completed"
