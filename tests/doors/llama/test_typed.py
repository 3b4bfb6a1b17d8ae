"""Workflow objects through both dialects of the llama door: what clients of the original server rely on."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

import stepwell
from stepwell.core.principal import LOCAL
from stepwell.doors.llama.errors import HandlerBusyError
from stepwell.doors.llama.handlers import Handlers
from stepwell.settings import Settings

from .classes import ALL
from .door import Door, opened


def new_app(folder: Path) -> stepwell.App:
    app = stepwell.App(settings=Settings(db=f"sqlite:///{folder}/runs.db"))
    for name, workflow in ALL.items():
        app.add_workflow(name, workflow(timeout=60))
    return app


class Doors:
    """Both dialects of one server."""

    def __init__(self, root: Door) -> None:
        self.root = root
        self.new = Door(root.client, root.app, "/llama")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    async with opened(new_app(tmp_path_factory.mktemp("typed"))) as root:
        yield Doors(root)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_workflows_are_in_the_order_of_registration(doors: Doors) -> None:
    assert (await doors.root.get("/workflows")).json() == {"workflows": list(ALL)}


async def test_result_is_a_value_at_the_root_and_an_envelope_in_the_new_dialect(doors: Doors) -> None:
    old = await doors.root.run("greet", {"start_event": {"name": "Bo"}})
    new = await doors.new.run("greet", {"start_event": {"name": "Bo"}})

    assert old.json()["result"] == {"text": "hello Bo"}
    assert list(old.json()) == [
        *("handler_id", "workflow_name", "run_id", "error", "result", "status"),
        *("started_at", "updated_at", "completed_at"),
    ]
    assert new.json()["result"] == {
        "value": {"text": "hello Bo"},
        "qualified_name": "doors.llama.classes.Greeted",
        "type": "Greeted",
        "types": ["StopEvent"],
    }
    assert (old.json()["completed_at"], new.json()["result_unreadable"]) == (None, False)
    assert new.json()["completed_at"].endswith("+00:00")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"start_event": [1]}, "Failed to deserialize event. Must be a json object, or stringified json object"),
        ({"start_event": ""}, "Failed to deserialize event. Must be a json object, or stringified json object"),
        ({"start_event": {"value": {}}}, "Invalid client data. Must have a type or a qualified name, got {event}"),
        (
            {"start_event": {"type": "Zed", "value": {}}},
            "Invalid event type: Zed. Expected one of StartEvent, StopEvent",
        ),
        ({"context": [1]}, "expected an object, found [1]"),
        ({"handler_id": 1}, "expected a text, found 1"),
    ],
)
async def test_wrong_start_is_told_as_the_original_does(doors: Doors, body: Any, text: str) -> None:
    for door in (doors.root, doors.new):
        answer = await door.run("echo", body)
        assert answer.status_code == 400
        assert text in answer.text.replace('\\"', '"')


async def test_missing_field_names_it_with_the_validators_text(doors: Doors) -> None:
    answer = await doors.new.run("greet", {})

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(
        "Validation error for 'start_event': Failed to deserialize event: 1 validation error for Greeting\nname\n"
    )


async def test_class_that_a_client_names_is_never_imported(doors: Doors) -> None:
    event = {"qualified_name": "antigravity.Nope", "value": {}, "__is_pydantic": True}
    answer = await doors.root.run("echo", {"start_event": event})

    assert (answer.status_code, "is not declared by this workflow" in answer.text) == (400, True)
    assert "antigravity" not in __import__("sys").modules


async def test_body_that_is_no_object_is_500_at_the_root_and_400_in_the_new_dialect(doors: Doors) -> None:
    for content, reason in ((b"{", "Expecting property name"), (b"[1]", "'list' object"), (b"", "Expecting value")):
        old = await doors.root.post("/workflows/echo/run", content=content)
        new = await doors.new.post("/workflows/echo/run", content=content)
        assert (old.status_code, new.status_code) == (500, 400)
        assert old.headers["content-type"] == "text/plain; charset=utf-8"
        assert old.text.startswith(f"Error processing request body: {reason}")
        assert reason in new.json()["detail"]


async def test_failed_run_is_text_at_the_root_and_a_handler_in_the_new_dialect(doors: Doors) -> None:
    old = await doors.root.run("boom")
    new = await doors.new.run("boom")

    assert (old.status_code, old.text) == (500, "Error running workflow: boom")
    assert new.status_code == 500
    assert (new.json()["status"], new.json()["error"], new.json()["result"]) == ("failed", "boom", None)


async def test_stream_is_the_same_for_a_late_a_second_and_a_resumed_client(doors: Doors) -> None:
    handler_id = await doors.new.start("ticks", count=3)
    first, second = await asyncio.gather(doors.new.events(handler_id), doors.new.events(handler_id))
    await doors.new.ended(handler_id)
    late = await doors.new.events(handler_id)
    resumed = await doors.new.get(f"/events/{handler_id}", headers={"Last-Event-ID": "2"})

    assert [event["type"] for event in first] == ["Tick", "Tick", "Tick", "StopEvent"]
    assert first == second == late
    assert [line for line in resumed.text.splitlines() if line.startswith("id")] == ["id: 3", "id: 5"]


async def test_old_stream_starts_from_the_beginning_and_the_new_one_from_now(doors: Doors) -> None:
    handler_id = await doors.root.start("ticks", count=1)
    await doors.root.ended(handler_id)
    old = await doors.root.get(f"/events/{handler_id}?acquire_timeout=0.1")
    new = await doors.new.get(f"/events/{handler_id}")

    assert old.text.count("data: ") == 2
    assert "id:" not in old.text
    assert (new.status_code, new.content) == (204, b"")


async def test_stream_that_would_be_empty_is_204_and_the_connection_lives_on(doors: Doors) -> None:
    handler_id = await doors.root.start("echo")
    await doors.root.ended(handler_id)
    for _ in range(2):
        answer = await doors.root.get(f"/events/{handler_id}?after_sequence=1000000")
        assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("flag", ["true", "TRUE"])
async def test_internal_events_are_shown_to_who_asks(doors: Doors, flag: str) -> None:
    handler_id = await doors.new.start("echo")
    await doors.new.ended(handler_id)
    all_of_them = await doors.new.events(handler_id, include_internal=flag)

    assert "StepStateChanged" in [event["type"] for event in all_of_them]
    assert [event["type"] for event in await doors.new.events(handler_id, include_internal="1")] == ["StopEvent"]


async def test_qualified_names_can_be_left_out(doors: Doors) -> None:
    handler_id = await doors.new.start("ticks", count=1)
    events = await doors.new.events(handler_id, include_qualified_name="false")

    assert {event["qualified_name"] for event in events} == {None}
    assert list(events[0]) == ["value", "qualified_name", "type", "types"]


async def test_number_that_is_none_is_refused_where_it_is_known(doors: Doors) -> None:
    handler_id = await doors.root.start("echo")
    timeout = await doors.root.get(f"/events/{handler_id}?acquire_timeout=abc")
    cursor = await doors.new.get(f"/events/{handler_id}?after_sequence=abc")

    assert (timeout.status_code, timeout.text) == (400, "Invalid acquire_timeout: 'abc'")
    assert (cursor.status_code, cursor.json()) == (400, {"detail": "Invalid after_sequence: 'abc'"})


async def test_failure_ends_the_old_stream_empty_and_the_new_one_with_the_reason(doors: Doors) -> None:
    handler_id = await doors.root.start("boom")
    await doors.root.ended(handler_id)
    (old,), (new,) = await doors.root.events(handler_id), await doors.new.events(handler_id)

    assert (old["type"], old["value"]) == ("StopEvent", {})
    assert (new["type"], new["types"]) == ("WorkflowFailedEvent", ["StopEvent"])
    assert new["value"]["exception"]["exception_message"] == "boom"


# --- posted events --------------------------------------------------------------------------------------------------


async def asking(door: Door) -> str:
    """A run that has asked its question."""
    handler_id = await door.start("ask")
    async with door.client.stream("GET", f"{door.prefix}/events/{handler_id}?after_sequence=-1") as stream:
        async for line in stream.aiter_lines():
            if "Question" in line:
                return handler_id
    raise AssertionError("the run has ended")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "Reply", "value": {"text": "yes"}},
        {"type": "Reply", "data": {"text": "yes"}},
        json.dumps({"type": "Reply", "value": {"text": "yes"}}),
        {"qualified_name": "doors.llama.classes.Reply", "value": {"text": "yes"}},
    ],
    ids=["value", "data", "text", "qualified"],
)
async def test_person_answers_in_any_form(doors: Doors, event: Any) -> None:
    handler_id = await asking(doors.root)
    sent = await doors.root.post(f"/events/{handler_id}", {"event": event})
    ended = await doors.root.ended(handler_id)

    assert (sent.status_code, sent.json()) == (200, {"status": "sent"})
    assert ended.json()["result"] == "got yes"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"step": "end"}, "Event data is required"),
        ({"event": {}}, "Event data is required"),
        ({"event": [1]}, "Failed to deserialize event. Must be a json object, or stringified json object"),
        ({"event": {"text": "yes"}}, "1 validation error for EventEnvelope"),
        ({"event": {"type": "Zed", "value": {}}}, "Invalid event type: Zed. Expected one of Question, Reply, "),
        ({"event": {"type": "Reply", "value": {}}}, "Failed to deserialize event: 1 validation error for Reply"),
        ({"event": {"type": "Reply", "value": {"text": ""}}, "step": "nope"}, "Step nope does not exist"),
        ({"event": {"type": "Reply", "value": {"text": ""}}, "step": "ask"}, "does not accept event of type"),
    ],
)
async def test_event_that_is_not_taken_is_400_and_changes_nothing(doors: Doors, body: Any, text: str) -> None:
    handler_id = await asking(doors.root)
    for door in (doors.root, doors.new):
        answer = await door.post(f"/events/{handler_id}", body)
        assert (answer.status_code, text in answer.text) == (400, True), answer.text
    assert (await doors.root.get(f"/results/{handler_id}")).status_code == 202


async def test_event_for_a_run_that_has_ended_is_409(doors: Doors) -> None:
    handler_id = await doors.root.start("echo")
    await doors.root.ended(handler_id)
    answer = await doors.new.post(f"/events/{handler_id}", {"event": {"type": "StartEvent", "value": {}}})

    assert (answer.status_code, answer.json()) == (409, {"detail": "Workflow already completed"})


@pytest.mark.parametrize("path", ["/results/nope", "/events/nope", "/handlers/nope/cancel"])
async def test_unknown_handler_is_404_in_every_operation(doors: Doors, path: str) -> None:
    method = "POST" if path.endswith("cancel") else "GET"
    old = await doors.root.client.request(method, path)
    new = await doors.new.client.request(method, f"/llama{path}")

    assert (old.status_code, old.text) == (404, "Handler not found")
    assert (new.status_code, new.json()) == (404, {"detail": "Handler not found"})


# --- handlers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/llama"], ids=["root", "new"])
async def test_run_goes_on_with_the_state_of_the_one_before_under_the_same_id(doors: Doors, prefix: str) -> None:
    door = doors.new if prefix else doors.root
    handler_id = await door.start("count")
    before = (await door.ended(handler_id)).json()["run_id"]
    answers = [await door.run("count", {"handler_id": handler_id, "start_event": {}}) for _ in range(2)]
    results = [value_of(answer) for answer in answers]
    listed = [one for one in (await door.get("/handlers")).json()["handlers"] if one["handler_id"] == handler_id]

    assert results == [2, 3]
    assert {answer.json()["handler_id"] for answer in answers} == {handler_id}
    assert (await door.get(f"/results/{handler_id}")).json()["result"] == 3
    assert [one["run_id"] for one in listed] == [answers[-1].json()["run_id"]]
    assert (await door.get(f"/results/{before}")).status_code == 404


def value_of(answer: httpx.Response) -> Any:
    result = answer.json()["result"]
    return result["value"]["result"] if isinstance(result, dict) else result


async def test_state_goes_on_with_objects_of_any_class_that_the_run_itself_put_there(doors: Doors) -> None:
    handler_id = (await doors.root.run("shop")).json()["handler_id"]
    answers = [await door.run("shop", {"handler_id": handler_id}) for door in (doors.root, doors.new)]

    assert [value_of(answer) for answer in answers] == [2, 3]


async def test_state_of_a_client_names_classes_of_the_workflow_only(doors: Doors) -> None:
    handler_id = (await doors.root.run("shop")).json()["handler_id"]
    run_id = (await doors.root.run("shop", {"handler_id": handler_id})).json()["run_id"]
    state = await doors.root.app.engine.state(run_id)
    context = json.loads(bytes(state.input))["__context__"]
    handed_in = await doors.root.run("shop", {"context": context})
    as_field = await doors.root.run("shop", {"start_event": {"__context__": context}})

    assert "classes.Cart is not in the serializer's allowed types" in handed_in.text
    assert handed_in.status_code == 400
    assert "classes.Cart is not in the serializer's allowed types" in as_field.text


async def test_context_in_the_body_is_the_state_that_a_run_starts_with(doors: Doors) -> None:
    state = {"state_data": {"_data": {"n": "41"}}, "state_type": "DictState", "state_module": "workflows.context"}
    answer = await doors.root.run("count", {"start_event": {}, "context": {"state": state, "is_running": False}})

    assert answer.json()["result"] == 42


STATE = {"state_type": "DictState", "state_module": "workflows.context.state_store"}
WRONG_CONTEXTS: dict[str, tuple[Any, str]] = {
    "array": ([1], "expected an object, found"),
    "text": ("x", "expected an object, found"),
    "number": (5, "expected an object, found"),
    "truth": (True, "expected an object, found"),
    "version": ({"version": 99}, "version=99"),
    "no version": ({"version": "x"}, "version='x'"),
    "pickle": ({"state": {**STATE, "state_data": {"_data": {"n": "gASVAA=="}}}}, "Failed to deserialize"),
    "state": ({"state": {**STATE, "state_data": "5"}}, "state"),
    "surrogate": ({"state": {**STATE, "state_data": {"_data": {"n": '"\\ud800"'}}}}, "surrogates not allowed"),
    "store": ({"version": 2, "state": {"store_type": "sqlite"}}, "sqlite"),
    "truth inside": ({"version": 2, "is_running": "perhaps"}, "is_running"),
    "workers": ({"version": 1, "workers": {"only": 5}}, "int"),
    "no event": ({"version": 2, "workers": {"only": {"queue": [{"event": "5"}]}}}, "expected an event, found int"),
    "no JSON": ({"version": 2, "workers": {"only": {"queue": [{"event": "{"}]}}}, "Expecting property name"),
    "delivery": ({"version": 2, "deliveries": [{"invocation_id": "", "index": 0, "event": "1"}]}, "found int"),
    "huge": ({"version": 2, "elapsed_alive": 1e300}, "expected a number that a run can come to"),
}


@pytest.mark.parametrize("wrong", WRONG_CONTEXTS)
@pytest.mark.parametrize("prefix", ["", "/llama"], ids=["root", "new"])
async def test_context_that_cannot_be_read_is_refused_before_there_is_a_run(
    doors: Doors, prefix: str, wrong: str
) -> None:
    door = doors.new if prefix else doors.root
    context, why = WRONG_CONTEXTS[wrong]
    ended = await door.start("count")
    await door.ended(ended)
    before = (await door.get("/handlers?limit=1000")).json()
    for operation in ("run", "run-nowait"):
        for body in ({"context": context}, {"start_event": {"__context__": context}}):
            answer = await door.post(f"/workflows/count/{operation}", {**body, "handler_id": ended})
            text = answer.json()["detail"] if prefix else answer.text
            name = "context" if "context" in body else "start_event"
            assert (answer.status_code, why in text) == (400, True), answer.text
            assert text.startswith(f"Validation error for '{name}': ")
    again = (await door.get("/handlers?limit=1000")).json()
    goes_on = await door.run("count", {"handler_id": ended})

    assert again == before
    assert (goes_on.status_code, value_of(goes_on)) == (200, 2)


async def test_handler_id_of_a_refused_start_is_free(doors: Doors) -> None:
    refused = await doors.new.run("count", {"handler_id": "mine-refused", "context": {"version": 99}})
    taken = await doors.new.run("count", {"handler_id": "mine-refused"})

    assert (refused.status_code, taken.status_code) == (400, 200)


async def test_unknown_handler_id_is_adopted_in_the_new_dialect_only(doors: Doors) -> None:
    old = await doors.root.run("count", {"handler_id": "mine-1", "start_event": {}})
    new = await doors.new.run("count", {"handler_id": "mine-1", "start_event": {}})
    again = await doors.new.get("/handlers/mine-1")

    assert (old.status_code, old.text) == (404, "Handler not found")
    assert (new.status_code, new.json()["handler_id"]) == (200, "mine-1")
    assert again.json()["run_id"] == new.json()["run_id"]


async def test_handler_that_is_running_cannot_be_continued(doors: Doors) -> None:
    handler_id = await doors.new.start("ask")
    old = await doors.root.run("ask", {"handler_id": handler_id})
    new = await doors.new.run("ask", {"handler_id": handler_id})

    assert (old.status_code, old.text) == (404, "Handler not found")
    assert (new.status_code, new.json()) == (409, {"detail": f"Handler '{handler_id}' is already running"})


async def test_one_of_many_continuations_at_once_wins(doors: Doors) -> None:
    handler_id = await doors.new.start("count")
    await doors.new.ended(handler_id)
    body = {"handler_id": handler_id, "start_event": {}}
    answers = await asyncio.gather(*[doors.new.post("/workflows/count/run-nowait", body) for _ in range(5)])
    won = [answer for answer in answers if answer.status_code == 200]
    ended = await doors.new.ended(handler_id)

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert ended.json()["result"] == 1 + len(won)


@pytest.mark.parametrize("continued", [True, False])
async def test_handler_that_got_another_run_since_it_was_looked_at_is_busy(doors: Doors, *, continued: bool) -> None:
    name = f"mine-{continued}"
    first = (await doors.new.run("count", {"handler_id": name, "start_event": {}})).json()["run_id"]
    second = (await doors.new.run("count", {"handler_id": name, "start_event": {}})).json()["run_id"]
    handlers = Handlers(doors.new.app.engine, LOCAL)

    with pytest.raises(HandlerBusyError):
        await (handlers.go_on(name, first) if continued else handlers.adopt(name))
    assert (await handlers.go_on(name, second)).before == second


async def test_cancelled_handler_is_listed_at_the_root_and_stays_in_the_new_dialect(doors: Doors) -> None:
    handler_id = await doors.root.start("ask")
    cancelled = await doors.root.post(f"/handlers/{handler_id}/cancel")
    old = [await doors.root.get(f"/{of}/{handler_id}") for of in ("results", "events")]
    new = await doors.new.get(f"/handlers/{handler_id}")
    last = (await doors.new.events(handler_id))[-1]
    listed = {one["handler_id"]: one["status"] for one in (await doors.root.get("/handlers")).json()["handlers"]}

    assert (cancelled.status_code, cancelled.json()) == (200, {"status": "cancelled"})
    assert [answer.status_code for answer in old] == [404, 404]
    assert (new.status_code, new.json()["status"], new.json()["error"]) == (500, "cancelled", None)
    assert last["type"] == "WorkflowCancelledEvent"
    assert listed[handler_id] == "cancelled"
    assert [(await door.post(f"/handlers/{handler_id}/cancel")).status_code for door in (doors.root, doors.new)] == [
        404,
        404,
    ]


@pytest.mark.parametrize("workflow", ["ask", "echo"])
async def test_purged_handler_is_gone_from_both_dialects(doors: Doors, workflow: str) -> None:
    handler_id = await doors.new.start(workflow)
    run_id = (await doors.new.get(f"/results/{handler_id}")).json()["run_id"]
    purged = await doors.root.post(f"/handlers/{handler_id}/cancel?purge=true")
    found = [await door.get(f"/results/{handler_id}") for door in (doors.root, doors.new)]
    listed = [one["run_id"] for one in (await doors.root.get("/handlers")).json()["handlers"]]

    assert (purged.status_code, purged.json()) == (200, {"status": "deleted"})
    assert [answer.status_code for answer in found] == [404, 404]
    assert run_id not in listed
    assert await doors.root.app.engine.history(run_id)


async def test_listing_is_filtered_in_the_new_dialect_only(doors: Doors) -> None:
    await doors.new.run("boom")
    query = {"status": "failed", "workflow_name": "boom"}
    new = (await doors.new.get("/handlers", params=query)).json()["handlers"]
    old = (await doors.root.get("/handlers", params=query)).json()["handlers"]
    none = (await doors.new.get("/handlers?status=zzz")).json()

    assert {(one["status"], one["workflow_name"]) for one in new} == {("failed", "boom")}
    assert {one["status"] for one in old} > {"failed"}
    assert none == {"handlers": []}


async def test_page_of_handlers_goes_on_behind_the_last_one(doors: Doors) -> None:
    for _ in range(3):
        await doors.new.run("echo")
    first = (await doors.new.get("/handlers?limit=2")).json()["handlers"]
    second = (await doors.new.get(f"/handlers?limit=1&before={first[-1]['handler_id']}")).json()["handlers"]
    all_three = (await doors.new.get("/handlers?limit=3")).json()["handlers"]

    assert [*first, *second] == all_three


async def test_repeat_with_an_idempotency_key_starts_nothing(doors: Doors) -> None:
    key = {"Idempotency-Key": "once"}
    answers = [
        await doors.new.post("/workflows/echo/run-nowait", {"start_event": {"x": 1}}, headers=key) for _ in range(2)
    ]

    assert answers[0].json() == answers[1].json()


async def test_get_of_a_path_that_takes_posts_only_is_not_found(doors: Doors) -> None:
    old = await doors.root.get("/workflows/echo/run")
    new = await doors.new.get("/nope/nope")

    assert (old.status_code, old.text) == (404, "Not Found")
    assert (new.status_code, new.json()) == (404, {"detail": "Not Found"})
    assert (await doors.root.post("/health")).text == "Method Not Allowed"


async def test_text_in_the_body_is_held_to_the_limits_of_the_body(doors: Doors) -> None:
    text = '{"x":' + "[" * 100 + "]" * 100 + "}"
    handler_id = await asking(doors.new)
    started = await doors.new.run("echo", {"start_event": text})
    posted = await doors.new.post(f"/events/{handler_id}", {"event": text})

    assert (started.status_code, posted.status_code) == (400, 400)
    assert "nested at most" in started.text
    assert "nested at most" in posted.text


HOSTILE = [
    *("null", "true", "-1", "1e308", "123456789012345678901234567890", "9" * 5000, "1e400", '""', '"x"', "[]", "[1]"),
    *('"\\u0000"', '"\\ud800"', '{"\\u0000": 1}', '{"a": "\\ud800"}', "[" * 70 + "]" * 70, '{"a": 1, "a": 2}'),
    *('"{"', '"[[[["', '"{\\"value\\": {}}"', "NaN", "", "{", '{"__is_pydantic": true}'),
    '{"__is_component": true, "value": {}, "qualified_name": "os.system"}',
    '{"type": "__class__", "value": {}}',
    '{"type": "_Private", "data": 5}',
    '{"type": 5, "value": {}}',
    '{"qualified_name": [], "value": {}}',
    '{"class_name": 1, "_data": 1, "self": 1, "__init__": 1, "to_dict": 1}',
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
async def test_whatever_a_client_sends_is_no_fault_of_the_server(doors: Doors, hostile: str) -> None:
    handler_id = await asking(doors.new)
    for member in ("start_event", "context", "handler_id", "kwargs"):
        for workflow in ("greet", "count"):
            body = f'{{"{member}": {hostile}}}'
            answer = await doors.new.post(f"/workflows/{workflow}/run-nowait", content=body.encode())
            assert answer.status_code < 500, answer.text
    for body in (
        hostile,
        f'{{"event": {hostile}}}',
        f'{{"event": {{"type": "Reply", "value": {hostile}}}}}',
        f'{{"event": {{"type": {hostile}, "value": {{}}}}}}',
        f'{{"event": {{"type": "Reply", "value": {{"text": ""}}}}, "step": [{hostile}]}}',
    ):
        answer = await doors.new.post(f"/events/{handler_id}", content=body.encode())
        assert 400 <= answer.status_code < 500, answer.text
    assert (await doors.new.get(f"/results/{handler_id}")).status_code == 202


async def test_run_goes_on_when_the_client_that_waits_for_it_has_gone(doors: Doors) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await doors.root.post("/workflows/ask/run", {}, timeout=httpx.Timeout(20, read=0.3))
    newest = (await doors.root.get("/handlers?limit=1")).json()["handlers"][0]

    assert (newest["workflow_name"], newest["status"]) == ("ask", "running")
    assert (await doors.root.get(f"/results/{newest['handler_id']}")).status_code == 202


@pytest.mark.parametrize("prefix", ["", "/llama"], ids=["root", "new"])
async def test_repeat_of_a_wait_that_broke_off_gets_the_result(doors: Doors, prefix: str) -> None:
    door = doors.new if prefix else doors.root
    key = {"Idempotency-Key": "broken off"}
    with pytest.raises(httpx.ReadTimeout):
        await door.post("/workflows/ask/run", {}, headers=key, timeout=httpx.Timeout(20, read=0.3))
    repeat = asyncio.create_task(door.post("/workflows/ask/run", {}, headers=key))
    handler_id = (await door.get("/handlers?limit=1")).json()["handlers"][0]["handler_id"]
    await door.post(f"/events/{handler_id}", {"event": {"type": "Reply", "value": {"text": "yes"}}})
    ended = await repeat
    once_more = await door.post("/workflows/ask/run", {}, headers=key)

    assert (ended.status_code, ended.json()["handler_id"], value_of(ended)) == (200, handler_id, "got yes")
    assert (once_more.json(), once_more.headers["idempotency-replayed"]) == (ended.json(), "true")


async def test_answer_that_the_run_goes_on_is_not_that_of_a_repeat(tmp_path: Path) -> None:
    """It is given when the server stops."""
    key = {"Idempotency-Key": "stopped"}
    async with opened(new_app(tmp_path)) as door:
        waiting = asyncio.create_task(door.post("/workflows/ask/run", {}, headers=key))
        handlers: list[Any] = []
        while not handlers:  # each look takes its time
            handlers = (await door.get("/handlers")).json()["handlers"]
        door.app.engine.watchers.close()
        unfinished = await waiting
        event = {"event": {"type": "Reply", "value": {"text": "yes"}}}
        await door.post(f"/events/{handlers[0]['handler_id']}", event)
        await door.ended(handlers[0]["handler_id"])
        repeat = await door.post("/workflows/ask/run", {}, headers=key)

    assert (unfinished.status_code, unfinished.json()["status"]) == (202, "running")
    assert (repeat.status_code, repeat.json()["result"]) == (200, "got yes")


@pytest.mark.parametrize("prefix", ["", "/llama"], ids=["root", "new"])
async def test_repeat_of_a_continuation_finds_the_run_that_it_began(doors: Doors, prefix: str) -> None:
    door = doors.new if prefix else doors.root
    handler_id = await door.start("echo")
    await door.ended(handler_id)
    body, key = {"handler_id": handler_id, "start_event": {"x": 1}}, {"Idempotency-Key": "continued"}
    first = await door.post("/workflows/echo/run-nowait", body, headers=key)
    await door.ended(handler_id)
    await forget_answers(door)
    repeat = await door.post("/workflows/echo/run-nowait", body, headers=key)
    then = await door.run("echo", {"handler_id": handler_id, "start_event": {"x": 2}})
    await forget_answers(door)
    late = await door.post("/workflows/echo/run-nowait", body, headers=key)
    last = await door.run("echo", {"handler_id": handler_id, "start_event": {"x": 3}})

    assert [answer.status_code for answer in (first, repeat, then, late, last)] == [200] * 5
    assert repeat.json()["run_id"] == late.json()["run_id"] == first.json()["run_id"] != then.json()["run_id"]
    assert (value_of(then), value_of(last)) == (2, 3)


async def forget_answers(door: Door) -> None:
    """As if the server had died before it could keep them."""
    documents = door.app.engine.store
    for record in await documents.get_records("idempotency"):
        data = {**record.data, "state": "pending", "answer": None}
        again = msgspec.structs.replace(record, version=record.version + 1, data=data)
        assert await documents.put_record(again, expect_version=record.version)
