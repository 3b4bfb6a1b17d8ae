"""Agent steps of templates on a whole app: tools, output schemas, and a key that shows up nowhere."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

import stepwell
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import code_of
from stepwell.engine import RunResult
from stepwell.settings import Settings, SettingsError

from .provider import Answer, Provider, call, delta, end, provider, refusal, says, usage

KEY = "sk-live-9876543210-abcdefghijklmnop"
SUM = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


def new_app(folder: Path, base_url: str = "", **settings: Any) -> stepwell.App:
    options: dict[str, Any] = {"agent_base_url": base_url, "agent_model": "m1", "agent_api_key": KEY, **settings}
    return stepwell.App(settings=Settings(db=f"sqlite:///{folder}/agents.db", idle_s=0.05, **options))


def document(**config: Any) -> str:
    retry = config.pop("retry", None)
    step: dict[str, Any] = {"key": "ask", "type": "agent", "config": {"prompt": "{{ input.question }}", **config}}
    if retry is not None:
        step["retry"] = retry
    return msgspec.json.encode({"name": "Ask", "additional_variables": True, "steps": [step]}).decode()


async def run(app: stepwell.App, **config: Any) -> RunResult:
    name = str(uuid4())
    await app.engine.save(kind="template", name=name, version="1", text=document(**config))
    return await app.engine.run(name, {"question": "2 + 2?"}, timeout_s=30)


async def asked(folder: Path, *answers: Answer, **config: Any) -> tuple[RunResult, Provider]:
    async with provider(*answers) as model, new_app(folder, model.url) as app:
        return await run(app, **config), model


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_an_agent_calls_functions_and_gives_what_its_schema_asks_for(tmp_path: Path) -> None:
    tool_call = [call(0, "c1", "add", '{"a": 2, '), call(0, arguments='"b": 2}'), end("tool_calls"), usage()]
    async with provider(tool_call, says('{"sum": 4}')) as model:
        app = new_app(tmp_path, model.url)

        @app.function
        def add(a: int, b: int) -> int:
            """Adds two numbers."""
            return a + b

        async with app:
            result = await run(app, tools=["add"], output_schema=SUM)
            assert result.output == {"sum": 4}
            history = msgspec.json.encode(await app.engine.history(result.run_id)).decode()
            assert '"total_tokens":12' in history
    first, second = model.asked
    (tool,) = first["tools"]
    assert tool["function"]["description"] == "Adds two numbers."
    assert tool["function"]["parameters"]["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer"}}
    assert second["messages"][-1] == {"role": "tool", "content": "4", "tool_call_id": "c1"}


async def test_an_answer_that_is_not_of_the_schema_fails_the_step(tmp_path: Path) -> None:
    result, _ = await asked(tmp_path, says('{"sum": "four"}'), output_schema=SUM)
    assert result.error is not None
    assert code_of(result.error) == "invalid_output"


async def test_a_busy_endpoint_is_asked_again_as_the_step_says(tmp_path: Path) -> None:
    busy = refusal(429, "slow down", headers={"retry-after": "0"})
    cut_off: Answer = [delta(content="The")]
    result, model = await asked(
        tmp_path, busy, cut_off, says("4"), retry={"max_attempts": 3, "initial_ms": 1, "jitter": 0}
    )
    assert result.output == "4"
    assert len(model.asked) == 3
    assert len({headers["idempotency-key"] for headers in model.headers}) == 1


async def test_a_model_that_is_not_there_is_asked_for_once(tmp_path: Path) -> None:
    missing = refusal(404, "The model `m1` does not exist")
    result, model = await asked(tmp_path, missing, retry={"max_attempts": 3, "initial_ms": 1})
    assert result.error is not None
    assert code_of(result.error) == "http_404"
    assert len(model.asked) == 1


async def test_the_key_is_in_no_event_no_output_and_no_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = refusal(401, f"Incorrect API key provided: {KEY}. Bearer {KEY}")
    result, _ = await asked(tmp_path, wrong)
    assert result.error is not None
    assert result.error.status == 401
    assert "***" in result.error.detail
    files = on_disk(tmp_path)
    assert b"Incorrect API key" in files
    assert KEY.encode() not in files
    shown = capfd.readouterr()
    assert KEY not in shown.out + shown.err


async def test_the_key_may_be_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_SECRET_AGENT_API_KEY", "sk-secret")
    async with provider(says("4")) as model, new_app(tmp_path, model.url, agent_api_key="") as app:
        assert (await run(app)).output == "4"
    assert model.headers[0]["authorization"] == "Bearer sk-secret"


async def test_only_the_endpoint_that_the_operator_set_is_called(tmp_path: Path) -> None:
    result, model = await asked(tmp_path, says("4"), model="http://127.0.0.1:1/")
    assert result.output == "4"
    assert model.asked[0]["model"] == "http://127.0.0.1:1/"
    async with provider(says("4")) as model, new_app(tmp_path, model.url, egress_deny=("127.0.0.0/8",)) as app:
        refused = (await run(app)).error
        assert refused is not None
        assert (code_of(refused), refused.retryable) == ("network", False)
        assert model.asked == []


async def test_a_server_without_an_endpoint_says_so(tmp_path: Path) -> None:
    async with new_app(tmp_path) as app:
        result = await run(app)
    assert result.error is not None
    assert code_of(result.error) == "configuration"


@pytest.mark.parametrize("url", ["models.example", "ftp://models.example/v1", "http://:80/v1", "https://a:b@c/v1"])
async def test_an_endpoint_that_is_none_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"^agent_base_url: expected a URL like"):
        async with new_app(tmp_path, url):
            pass


async def test_an_agent_step_is_refused_when_the_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.parts.has_library", lambda: False)
    async with new_app(tmp_path) as app:
        with pytest.raises(InvalidDefinitionError) as refused:
            await run(app)
    (fault,) = refused.value.faults
    assert fault.pointer == "/steps/0/config"
    assert fault.message == (
        "agent steps need the library openai, which is not installed: pip install 'stepwell[agents]'"
    )


def test_a_server_without_agents_does_not_import_the_library() -> None:
    code = (
        "import sys, stepwell; from stepwell.settings import Settings;"
        "app = stepwell.App(settings=Settings(agent_base_url='http://127.0.0.1:1/v1')); app.asgi();"
        "assert app.parts.agents is not None; print('openai' in sys.modules, 'pydantic' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]
