"""`call: agent` of flows on a whole app, against an endpoint that speaks the protocol."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

import stepwell
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import code_of
from stepwell.engine import RunResult
from stepwell.settings import Settings

from .provider import Provider, call, end, provider, says, usage

SUM = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
WANTS_ADD = [call(0, "c1", "add", '{"a": 2, "b": 2}'), end("tool_calls"), usage()]


def new_app(folder: Path, base_url: str = "") -> stepwell.App:
    app = stepwell.App(
        settings=Settings(db=f"sqlite:///{folder}/agents.db", agent_base_url=base_url, agent_model="m1")
    )

    @app.function
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    return app


def document(*, secrets: tuple[str, ...] = (), **arguments: Any) -> str:
    head = {"dsl": "1.0.3", "namespace": "test", "name": "ask", "version": "1.0.0"}
    return msgspec.json.encode(
        {"document": head, "use": {"secrets": secrets}, "do": [{"ask": {"call": "agent", "with": arguments}}]}
    ).decode()


async def run(app: stepwell.App, text: str, input: Any = None) -> RunResult:
    await app.engine.save(kind="flow", name="ask", version="1.0.0", text=text)
    return await app.engine.run("ask", input or {"question": "2 + 2?"}, timeout_s=30)


def told(model: Provider, turn: int = 0) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in model.asked[turn]["messages"]]


async def test_the_last_text_is_the_output(tmp_path: Path) -> None:
    text = document(prompt="${ .question }", system="Be short.", model="m2")
    async with provider(says("4")) as model, new_app(tmp_path, model.url) as app:
        assert (await run(app, text)).output == "4"
    assert told(model) == [("system", "Be short."), ("user", "2 + 2?")]
    assert model.asked[0]["model"] == "m2"


async def test_tools_are_called_and_the_answer_is_of_the_schema(tmp_path: Path) -> None:
    text = document(prompt="${ .question }", tools=["add"], output_schema=SUM)
    async with provider(WANTS_ADD, says('{"sum": 4}')) as model, new_app(tmp_path, model.url) as app:
        assert (await run(app, text)).output == {"sum": 4}
    assert told(model, 1)[-1] == ("tool", "4")


async def test_an_answer_of_another_form_is_an_error_that_can_be_caught(tmp_path: Path) -> None:
    text = document(prompt="sum", output_schema=SUM)
    async with provider(says("four")) as model, new_app(tmp_path, model.url) as app:
        failed = (await run(app, text)).error
    assert failed is not None
    assert (code_of(failed), failed.instance) == ("invalid_output", "/do/0/ask")


async def test_a_conversation_without_end_is_cut(tmp_path: Path) -> None:
    text = document(prompt="sum", tools=["add"], max_turns=2)
    async with provider(WANTS_ADD) as model, new_app(tmp_path, model.url) as app:
        failed = (await run(app, text)).error
    assert failed is not None
    assert code_of(failed) == "agent_max_turns"
    assert len(model.asked) == 2


async def test_a_prompt_that_is_no_text_is_named(tmp_path: Path) -> None:
    async with provider(says("4")) as model, new_app(tmp_path, model.url) as app:
        failed = (await run(app, document(prompt="${ .question }"), {"question": [1]})).error
    assert failed is not None
    assert (failed.instance, failed.detail) == ("/do/0/ask/with/prompt", "expected text, found a list")
    assert model.asked == []


async def test_a_server_without_an_endpoint_says_so(tmp_path: Path) -> None:
    async with new_app(tmp_path) as app:
        failed = (await run(app, document(prompt="x"))).error
    assert failed is not None
    assert failed.detail == "no language model is set up on this server"


async def test_a_secret_in_a_prompt_is_asked_with_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_SECRET_WORD", "open-sesame")
    text = document(prompt="${ $secrets.word }", secrets=("word",))
    async with provider(says("4")) as model, new_app(tmp_path, model.url) as app:
        result = await run(app, text)
        kept = msgspec.json.encode(await app.engine.history(result.run_id)).decode()
    assert told(model) == [("user", "open-sesame")]
    assert "open-sesame" not in kept
    assert '"content":"***"' in kept


@pytest.mark.parametrize(
    ("arguments", "pointer", "message"),
    [
        ({}, "/do/0/ask/with/prompt", "expected"),
        ({"prompt": "x", "tools": ["ad"]}, "/do/0/ask/with/tools/0", "did you mean 'add'?"),
        ({"prompt": "x", "max_turns": 0}, "/do/0/ask/with/max_turns", "expected 1 to 1,000"),
        ({"prompt": "x", "output_schema": {"type": 3}}, "/do/0/ask/with/output_schema", "expected a JSON Schema"),
        ({"prompt": "x", "promt": "y"}, "/do/0/ask/with/promt", "did you mean"),
    ],
)
async def test_wrong_arguments_are_refused_when_saved(
    tmp_path: Path, arguments: dict[str, Any], pointer: str, message: str
) -> None:
    async with new_app(tmp_path) as app:
        with pytest.raises(InvalidDefinitionError) as refused:
            await run(app, document(**arguments))
    (fault,) = refused.value.faults
    assert fault.pointer.startswith(pointer)
    assert message in fault.message
