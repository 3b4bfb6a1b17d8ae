"""What a hosted workflow tells doors, and how it reads what clients send: nothing that a client names is imported."""

import json
from typing import Any

import pytest
from workflows import Context, Workflow, step
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.status import Status
from stepwell.core.typed import CONTEXT, Envelope, EventFault, TypedWorkflow
from stepwell.programs.code import CodePrograms


class Begin(StartEvent):
    name: str


class Ask(InputRequiredEvent):
    question: str


class Answer(HumanResponseEvent):
    text: str


class Extra(Event):
    """Named by no step."""

    n: int = 0


class Finish(StopEvent):
    text: str


class Sample(Workflow):
    @step
    async def ask(self, ev: Begin) -> Ask:
        """Ask somebody."""
        return Ask(question=ev.name)

    @step
    async def end(self, ctx: Context, ev: Answer) -> Finish:  # noqa: ARG002
        return Finish(text=ev.text)


@pytest.fixture(scope="module")
def face() -> TypedWorkflow:
    code = CodePrograms(lambda: 0.0)
    code.add("sample", Sample(), [Extra])
    typed: TypedWorkflow = code.compile("sample").typed
    return typed


def test_schemas_of_all_events(face: TypedWorkflow) -> None:
    assert face.start_schema["required"] == ["name"]
    assert face.stop_schema["title"] == "Finish"
    assert [schema["title"] for schema in face.event_schemas] == ["Answer", "Ask", "Begin", "Extra", "Finish"]


def test_the_graph_has_a_node_for_each_step_and_event(face: TypedWorkflow) -> None:
    nodes = {(node["node_type"], node["label"]) for node in face.graph["nodes"]}

    assert {("step", "ask"), ("step", "end"), ("event", "Begin"), ("event", "Finish")} <= nodes
    assert set(face.graph) >= {"name", "nodes", "edges", "description"}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "ada"},
        '{"name": "ada"}',
        {"type": "Begin", "value": {"name": "ada"}},
        {"qualified_name": f"{__name__}.Begin", "value": {"name": "ada"}},
        {"__is_pydantic": True, "qualified_name": f"{__name__}.Begin", "value": {"name": "ada"}},
    ],
)
def test_a_start_event_has_many_forms(face: TypedWorkflow, body: Any) -> None:
    assert face.read_start(body) == {"name": "ada"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "not_an_object"),
        ("[1]", "not_an_object"),
        ([], "not_an_object"),
        ({"value": {"name": "ada"}}, "untyped"),
        ({"type": "Zed", "value": {}}, "unknown_type"),
        ({"qualified_name": "os.system", "value": {}}, "unknown_type"),
        ({"type": "Answer", "value": {"text": "x"}}, "not_a_start_event"),
        ({}, "invalid_fields"),
        (None, "invalid_fields"),
        ({"type": "Begin", "value": {}}, "invalid_fields"),
        ({"type": "Begin", "value": 5}, "invalid_fields"),
        ({"name": "ada", "_data": "x", "more": 1}, "invalid_fields"),
    ],
)
def test_what_is_no_start_event(face: TypedWorkflow, body: Any, code: str) -> None:
    with pytest.raises(EventFault) as refused:
        face.read_start(body)

    assert refused.value.code == code


def test_an_unknown_type_lists_those_that_are_known(face: TypedWorkflow) -> None:
    with pytest.raises(EventFault) as refused:
        face.read_event({"type": "Zed", "value": {}})

    assert str(refused.value) == "Invalid event type: Zed. Expected one of Answer, Ask, Begin, Extra, Finish"


@pytest.mark.parametrize(
    ("step", "code", "text"),
    [
        ("nope", "unknown_step", "Step nope does not exist"),
        ("ask", "step_refuses", f"Step ask does not accept event of type {Answer}"),
    ],
)
def test_an_event_for_the_wrong_step(face: TypedWorkflow, step: str, code: str, text: str) -> None:
    with pytest.raises(EventFault) as refused:
        face.read_event({"type": "Answer", "value": {"text": "yes"}}, step)

    assert (refused.value.code, str(refused.value)) == (code, text)


def test_a_posted_event_may_say_data_instead_of_value(face: TypedWorkflow) -> None:
    by_value = face.read_event({"type": "Answer", "value": {"text": "yes", "more": 1}}, "end")

    assert face.read_event('{"type": "Answer", "data": {"text": "yes", "more": 1}}', "end") == by_value
    assert by_value["event"]["value"] == {"text": "yes", "_data": {"more": 1}}


def test_events_of_no_step_may_be_posted_when_they_were_added(face: TypedWorkflow) -> None:
    assert face.read_event({"type": "Extra", "value": {}})["event"]["qualified_name"] == f"{__name__}.Extra"


def test_an_event_of_the_past_whose_class_is_gone(face: TypedWorkflow) -> None:
    face.check_envelope(Envelope(value={"text": "x"}, qualified_name=f"{__name__}.Finish", type="Finish"))
    with pytest.raises(EventFault):
        face.check_envelope(Envelope(value={}, qualified_name=f"{__name__}.Gone", type="Gone"))
    with pytest.raises(EventFault):
        face.check_envelope(Envelope(value={}, qualified_name=f"{__name__}.Finish", type="Finish"))


def test_a_run_that_was_ended_from_outside_has_a_last_event_for_its_reader(face: TypedWorkflow) -> None:
    cancelled = face.ending(Status.CANCELLED, "")
    failed = face.ending(Status.FAILED, "the run took longer than 5 s")

    assert (cancelled.type, cancelled.types) == ("WorkflowCancelledEvent", ("StopEvent",))
    assert failed.value["exception"]["exception_message"] == "the run took longer than 5 s"


ASK_EVENT = json.dumps({"__is_pydantic": True, "value": {"question": ""}, "qualified_name": f"{__name__}.Ask"})


@pytest.mark.parametrize(
    "context",
    [
        {"state": {"state_type": "System", "state_module": "os", "state_data": '{"__is_pydantic": true, "value": {}, '
                   '"qualified_name": "os.system"}'}},
        {"version": 1, "workers": {"ask": {"queue": [{"event": "nonsense"}]}}},
        {"version": 2, "workers": {"end": {"queue": [{"event": ASK_EVENT}]}}},
        {"version": 2, "workers": {"end": {"collected_events": {"all": ["[]"]}}}},
        {"version": 2, "state": {"state_type": "Ask", "state_module": "x", "state_data": ASK_EVENT}},
        {"version": 2, "collection_release_states": {"x": {"binding_id": "", "stream_id": "", "buffer": ["0"]}}},
    ],
)  # fmt: skip
def test_a_context_that_cannot_be_read_is_refused(face: TypedWorkflow, context: dict[str, Any]) -> None:
    with pytest.raises(EventFault) as refused:
        face.with_context({"name": "ada"}, context)

    assert refused.value.code == "invalid_context"
    with pytest.raises(EventFault) as refused:
        face.read_start({"name": "ada", CONTEXT: context})

    assert refused.value.code == "invalid_context"


def test_an_empty_context_changes_nothing(face: TypedWorkflow) -> None:
    assert face.with_context({"name": "ada"}, {}) == {"name": "ada"}


class Stuck(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> Extra:  # noqa: ARG002
        return Extra()

    @step
    async def end(self, ev: Answer) -> StopEvent:
        return StopEvent(result=ev.text)


def test_a_class_that_the_package_refuses_is_an_invalid_definition() -> None:
    code = CodePrograms(lambda: 0.0)
    code.add("stuck", Stuck())

    with pytest.raises(InvalidDefinitionError, match="cannot be hosted"):
        code.compile("stuck")


def test_a_class_whose_checks_are_off_is_not_checked() -> None:
    code = CodePrograms(lambda: 0.0)
    code.add("stuck", Stuck(disable_validation=True))

    assert code.compile("stuck").typed is not None
