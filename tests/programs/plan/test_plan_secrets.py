"""A secret given to a plan is used where it is to be used, and nowhere to be seen."""

from typing import Any

import msgspec
import pytest

from stepwell.core.history import ApprovalRequested, ChildStarted, RunCreated
from stepwell.core.program import StepContext
from stepwell.engine import Engine
from stepwell.programs.agents.port import AgentRequest, AgentTurn
from stepwell.programs.http import HttpResponse

from .plan_world import (
    RUN_ID,
    Calls,
    Endpoint,
    Model,
    PlanWorld,
    ended,
    function,
    http,
    json_response,
    quiet,
    save,
    start,
    step,
    template,
)

SECRET = "s3cr3t-of-ours"
DECLARED = [{"name": "token", "type": "secret"}, {"name": "n", "type": "integer", "secret": True}]


def seen(document: str, *, world: PlanWorld | None = None) -> tuple[str, Any, list[Any]]:
    """All that can be seen of a run: its history but for the input as it is kept, its stream, its view."""

    async def scenario(engine: Engine) -> tuple[str, Any, list[Any]]:
        await start(engine, document, {"token": SECRET, "n": 4711})
        await ended(engine)
        await quiet(engine)
        events = await engine.history(RUN_ID)
        told = [event for event in events if not isinstance(event, RunCreated | ChildStarted)]
        stream = await engine.stream(RUN_ID)
        view = await engine.view(RUN_ID)
        text = msgspec.json.encode([told, stream, view]).decode()
        return text, view, events

    with world or PlanWorld() as played:
        found: tuple[str, Any, list[Any]] = played.play(scenario)
    return found


def test_a_secret_reaches_a_function_and_is_masked_in_all_that_it_says() -> None:
    calls = Calls()
    document = template(
        function("a", "leak", secret="{{ input.token }}"),
        function("b", value="{{ steps.a.output.long }}"),
        variables=DECLARED,
        output="{{ input.token }}",
    )
    text, view, _ = seen(document, world=PlanWorld(calls=calls))
    assert SECRET not in text
    assert view.input == {"token": "***", "n": "***"}
    assert view.steps[0].output == {"it": "***", "long": "<***>"}
    assert view.steps[0].input == {"secret": "***"}
    assert view.output == "***"
    assert "the secret is ***" in text


def test_a_secret_reaches_a_server_and_comes_back_masked() -> None:
    endpoint = Endpoint(
        lambda request: json_response({"echo": dict(request.headers), "n": [SECRET]}, x_echo=f"v={SECRET}")
    )
    document = template(
        http("h", headers={"X-Token": "{{ input.token }}"}, url="https://them.example/{{ input.token }}"),
        variables=DECLARED,
    )
    text, view, _ = seen(document, world=PlanWorld(endpoint=endpoint))
    assert endpoint.asked[0].headers["X-Token"] == SECRET
    assert endpoint.asked[0].url.endswith(SECRET)
    assert SECRET not in text
    assert view.steps[0].output["body"]["n"] == ["***"]


def test_a_secret_is_masked_in_errors() -> None:
    endpoint = Endpoint(lambda _: HttpResponse(status=400, content=f"who is {SECRET}?".encode()))
    document = template(
        http("h", url="https://them.example/{{ input.token }}", on_error="continue"),
        function("b", value="{{ input.token.nowhere }}", on_error="continue"),
        function("c", value="{{ steps.h.error.message }}"),
        variables=DECLARED,
    )
    text, view, _ = seen(document, world=PlanWorld(endpoint=endpoint))
    assert SECRET not in text
    assert [step.status for step in view.steps] == ["failed", "failed", "completed"]


def test_a_secret_is_masked_in_what_people_are_asked() -> None:
    document = template(
        step(
            "a",
            "approval",
            {"prompt": "Use {{ input.token }}?", "context": ["{{ input.token }}"], "timeout_seconds": 1},
        ),
        variables=DECLARED,
    )
    text, _, events = seen(document)
    assert SECRET not in text
    asked = next(event for event in events if isinstance(event, ApprovalRequested))
    assert (asked.request.prompt, asked.request.context) == ("Use ***?", ["***"])


def test_a_secret_is_masked_in_waits_callbacks_and_conversations() -> None:
    def speak(request: AgentRequest, ctx: StepContext) -> AgentTurn:
        ctx.think(SECRET)
        return AgentTurn(text=request.messages[0].content)

    model = Model(speak)
    document = template(
        step("ag", "agent", {"prompt": "Log in with {{ input.token }}"}),
        step("cb", "callback", {"payload": "{{ input.token }}", "timeout_seconds": 1}, on_error="continue"),
        step("w", "wait", {"until": "{{ input.token }}"}, on_error="continue"),
        variables=DECLARED,
    )
    text, view, _ = seen(document, world=PlanWorld(model=model))
    assert model.asked[0].messages[0].content == f"Log in with {SECRET}"
    assert SECRET not in text
    assert view.steps[0].output == "Log in with ***"


def test_a_secret_given_to_a_child_is_masked_in_both_views() -> None:
    kid = template(function("k", value="{{ input.token }}"), variables=[{"name": "token", "type": "secret"}])
    document = template(
        step("s", "subworkflow", {"template_id": "kid", "input": {"token": "{{ input.token }}"}}), variables=DECLARED
    )

    async def scenario(engine: Engine) -> list[Any]:
        await save(engine, kid, "kid")
        await start(engine, document, {"token": SECRET})
        await ended(engine)
        parent = await engine.view(RUN_ID)
        return [parent, await engine.view(parent.steps[0].child_id)]

    with PlanWorld() as world:
        views = world.play(scenario)
    assert SECRET.encode() not in msgspec.json.encode(views)
    assert views[0].steps[0].input == {"token": "***"}
    assert views[1].input == {"token": "***"}


def test_another_type_is_hidden_by_its_flag() -> None:
    _, view, _ = seen(template(function("a", value=["{{ input.n }}", "n is {{ input.n }}"]), variables=DECLARED))
    assert view.steps[0].output == ["***", "n is ***"]


@pytest.mark.parametrize("secret", ["abc", "1234567"])
def test_a_short_secret_is_hidden_as_a_whole(secret: str) -> None:
    async def scenario(engine: Engine) -> Any:
        await start(engine, template(function("a", value="{{ input.token }}"), variables=DECLARED), {"token": secret})
        return (await ended(engine)).output

    with PlanWorld() as world:
        assert world.play(scenario) == "***"
