"""`agent`: a conversation, turn by turn, with a model that says what the test tells it to."""

from typing import Any

import pytest

from stepwell.core.errors import Problem, StepFailure, code_of
from stepwell.core.program import StepContext
from stepwell.programs.agents.port import AgentRequest, AgentTurn, Message, ToolCall

from .plan_world import Calls, Model, PlanWorld, Played, play, quiet, step, template, variables

NAMES = ("echo", "work")


def ask(*turns: AgentTurn | Exception, calls: Calls | None = None, **rest: Any) -> tuple[Played, Model]:
    """An agent that is answered by these turns."""
    outer = {name: rest.pop(name) for name in ("retry", "timeout_seconds", "output_schema_of_step") if name in rest}
    config = {"prompt": "What is {{ input.n }}?", **rest}

    def speak(_request: AgentRequest, ctx: StepContext) -> AgentTurn:
        world.calls.began(ctx)
        ctx.think("hm, ")
        ctx.think("I see")
        turn = turns[min(len(model.asked), len(turns)) - 1]
        if isinstance(turn, Exception):
            raise turn
        return turn

    model = Model(speak)
    world = PlanWorld(model=model, calls=calls)
    document = template(step("ag", "agent", config, **outer), variables=variables(n="integer"))
    return play(document, {"n": 2}, world=world), model


def tool(name: str, id: str = "1", /, **arguments: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments)


def test_the_last_text_is_the_output() -> None:
    played, model = ask(AgentTurn(text="4"), system="Be short.", model="m1")
    assert played.output == "4"
    request = model.asked[0]
    assert request.model == "m1"
    assert request.messages == (
        Message(role="system", content="Be short."),
        Message(role="user", content="What is 2?"),
    )


def test_tools_are_called_at_once_and_answered_in_order() -> None:
    calls = (tool("echo", "1", value=5), tool("work", "2", name="t", takes=1), tool("echo", "3", value=[1]))
    played, model = ask(AgentTurn(text="let me see", tool_calls=calls), AgentTurn(text="done"), tools=list(NAMES))
    assert played.output == "done"
    said, *answers = model.asked[1].messages[1:]
    assert said == Message(role="assistant", content="let me see", tool_calls=calls)
    assert [(one.tool_call_id, one.content) for one in answers] == [("1", "5"), ("2", "t"), ("3", "[1]")]


def test_functions_are_offered_with_their_parameters() -> None:
    _, model = ask(AgentTurn(text="x"), tools=["work"])
    offered = model.asked[0].tools[0]
    assert (offered.name, offered.description) == ("work", "Take some time, and fail as often as told.")
    assert offered.parameters == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "takes": {"type": "number"}, "value": {}},
        "required": ["name"],
        "additionalProperties": False,
    }


def test_a_tool_that_fails_tells_the_model() -> None:
    calls = Calls()
    calls.fails = {"t": -1}
    wanted = (tool("work", "1", name="t"), tool("nope", "2"), ToolCall(id="3", name="echo", arguments="x"))
    played, model = ask(AgentTurn(tool_calls=wanted), AgentTurn(text="sorry"), tools=list(NAMES), calls=calls)
    assert played.output == "sorry"
    texts = [one.content for one in model.asked[1].messages if one.role == "tool"]
    assert "t fails" in texts[0]
    assert texts[1:] == [
        '{"error":"there is no tool \'nope\'"}',
        '{"error":"expected an object of arguments, found \'x\'"}',
    ]


def test_a_conversation_without_an_end_is_ended() -> None:
    played, model = ask(AgentTurn(tool_calls=(tool("echo"),)), tools=["echo"], max_turns=3)
    assert code_of(played.result.error) == "agent_max_turns"
    assert len(model.asked) == 3


@pytest.mark.parametrize("text", ["no json", '{"answer": "four"}'])
def test_an_answer_of_another_form_is_an_error(text: str) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}}
    played, model = ask(AgentTurn(text=text), output_schema=schema)
    assert code_of(played.result.error) == "invalid_output"
    assert model.asked[0].output_schema == schema


def test_an_answer_of_the_schema_is_its_value() -> None:
    played, _ = ask(AgentTurn(text='{"answer": 4}'), output_schema={"type": "object"})
    assert played.output == {"answer": 4}


def test_a_turn_that_fails_is_tried_again() -> None:
    busy = StepFailure(Problem(type="overloaded", status=529, detail="later", retry_after_s=3))
    played, model = ask(busy, AgentTurn(text="4"), retry={"max_attempts": 2, "jitter": 0})
    assert played.output == "4"
    assert played.step("ag").ended_at == pytest.approx(1_750_000_003)
    assert len(model.asked) == 2


def test_without_a_model_the_step_says_so() -> None:
    played = play(template(step("ag", "agent", {"prompt": "?"})))
    assert code_of(played.result.error) == "configuration"
    assert "no language model is set up" in played.result.error.detail


def test_thinking_goes_to_the_stream() -> None:
    def speak(_request: AgentRequest, ctx: StepContext) -> AgentTurn:
        ctx.think("because")
        return AgentTurn(text="4")

    world = PlanWorld(model=Model(speak))

    async def scenario(engine: Any) -> list[Any]:
        await engine.save(kind="template", name="p", version="1", text=template(step("ag", "agent", {"prompt": "?"})))
        started = await engine.start("p")
        await quiet(engine)
        return list(await engine.stream(started.run_id))

    with world:
        items = world.play(scenario)
    assert [(item.type, item.key, item.data) for item in items] == [("thinking", "ag/turn@1", "because")]


def test_every_turn_and_every_tool_call_is_a_step_of_its_own() -> None:
    played, _ = ask(AgentTurn(tool_calls=(tool("echo", value=1),)), AgentTurn(text="x"), tools=["echo"])
    found = played.step("ag")
    assert (found.status, found.attempt) == ("completed", 1)
    assert found.input == {"messages": [{"role": "user", "content": "What is 2?"}]}
