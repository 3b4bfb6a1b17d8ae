"""One turn against a real endpoint: what is asked, and what becomes of what is answered."""

from typing import Any

import pytest

from stepwell.core.errors import code_of
from stepwell.programs.agents.port import AgentRequest, Message, Tool, ToolCall

from .provider import CUT, HELLO, PAUSE, USAGE, Answer, ask, call, delta, end, provider, refusal, says, usage

ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})


async def test_a_text_comes_in_pieces_and_is_given_whole_with_its_tokens() -> None:
    async with provider(says("The sum ", "is ", "4.")) as model:
        found = await ask(model.url)
    assert found.turn.text == "The sum is 4."
    assert found.turn.usage == USAGE
    assert "".join(item["text"] for item in found.items("item")) == "The sum is 4."


async def test_an_endpoint_is_asked_in_its_protocol() -> None:
    conversation = (
        Message(role="system", content="Be short."),
        Message(role="user", content="2 + 2?"),
        Message(role="assistant", tool_calls=(ToolCall(id="c1", name="add", arguments={"a": 2}),)),
        Message(role="tool", content="4", tool_call_id="c1"),
    )
    request = AgentRequest(messages=conversation, model="mine", tools=(ADD,))
    async with provider(says("4")) as model:
        await ask(model.url, request)
    (asked,) = model.asked
    called = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}
    assert asked == {
        "model": "mine",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "", "tool_calls": [called]},
            {"role": "tool", "content": "4", "tool_call_id": "c1"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "add", "description": "Adds.", "parameters": ADD.parameters},
            }
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    (headers,) = model.headers
    assert headers["authorization"] == "Bearer sk-test-0123456789"
    assert headers["idempotency-key"].endswith("//turn/1")


async def test_an_endpoint_without_a_key_is_sent_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    async with provider(says("4")) as model:
        assert (await ask(model.url, api_key=lambda: "")).turn.text == "4"
    assert "authorization" not in model.headers[0]
    assert "sk-of-the-environment" not in str(model.headers)


async def test_the_settings_model_is_asked_where_a_step_names_none() -> None:
    async with provider(says("4")) as model:
        await ask(model.url)
        failed = (await ask(model.url, model="")).failed
    assert [asked["model"] for asked in model.asked] == ["m1"]
    assert (code_of(failed), failed.retryable) == ("configuration", False)
    assert "agent_model" in failed.detail


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_becomes_thinking_and_no_part_of_the_answer(field: str) -> None:
    thoughts = [delta(**{field: text}) for text in ("Two and ", "two ", "make four.")]
    async with provider([*thoughts, *says("4")]) as model:
        found = await ask(model.url)
    assert found.turn.text == "4"
    assert "".join(found.items("thinking")) == "Two and two make four."


async def test_a_schema_is_sent_as_a_format_and_told_in_words() -> None:
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    system = (Message(role="system", content="Be short."), *HELLO.messages)
    async with provider(says('{"sum": 4}')) as model:
        await ask(model.url, AgentRequest(messages=HELLO.messages, output_schema=schema))
        await ask(model.url, AgentRequest(messages=system, output_schema=schema))
    for asked in model.asked:
        assert asked["response_format"]["json_schema"]["schema"] == schema
        assert [one["role"] for one in asked["messages"]] == ["system", "user"]
        assert '"sum"' in asked["messages"][0]["content"]
    assert model.asked[1]["messages"][0]["content"].startswith("Be short.")


# --- tool calls -----------------------------------------------------------------------------------------------------

SPLIT: list[Any] = [
    delta(role="assistant", content=None),
    call(0, "call_a", "add", ""),
    call(0, arguments='{"a": '),
    call(1, "call_b", "add", '{"a'),
    call(0, arguments="1}"),
    call(1, arguments='": 2}'),
    end("tool_calls"),
    usage(),
]
WHOLE_BUT_ONE_INDEX: list[Any] = [
    call(0, "call_a", "add", '{"a": 1}'),
    call(0, "call_b", "add", '{"a": 2}'),
    end("tool_calls"),
]
NO_IDS: list[Any] = [call(0, None, "add", '{"a": 1}'), call(1, None, "add", '{"a": 2}'), end("tool_calls")]
ID_REPEATED: list[Any] = [
    call(0, "call_a", "add", '{"a"'),
    call(0, "call_a", None, ": 1}"),
    call(1, "call_b", "add", '{"a": 2}'),
    end("tool_calls"),
]


@pytest.mark.parametrize(
    ("chunks", "ids"),
    [
        (SPLIT, ["call_a", "call_b"]),
        (WHOLE_BUT_ONE_INDEX, ["call_a", "call_b"]),
        (NO_IDS, ["call_0", "call_1"]),
        (ID_REPEATED, ["call_a", "call_b"]),
    ],
    ids=["split", "one index", "no ids", "ids repeated"],
)
async def test_tool_calls_are_put_together_however_they_come(chunks: Answer, ids: list[str]) -> None:
    async with provider(chunks) as model:
        turn = (await ask(model.url, AgentRequest(messages=HELLO.messages, tools=(ADD,)))).turn
    assert [(one.id, one.name, one.arguments) for one in turn.tool_calls] == [
        (ids[0], "add", {"a": 1}),
        (ids[1], "add", {"a": 2}),
    ]
    assert turn.text == ""


@pytest.mark.parametrize(("text", "arguments"), [("", {}), ("{'a': 1}", "{'a': 1}"), ("[1]", [1])])
async def test_arguments_that_are_no_object_are_given_as_they_are(text: str, arguments: Any) -> None:
    async with provider([call(0, "c", "add", text), end("tool_calls")], says("sorry")) as model:
        turn = (await ask(model.url)).turn
        assert turn.tool_calls[0].arguments == arguments
        said = Message(role="assistant", tool_calls=turn.tool_calls)
        await ask(model.url, AgentRequest(messages=(*HELLO.messages, said)))
    sent = model.asked[1]["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert sent in (text, "{}", "[1]")


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "retryable", "retry_after_s"),
    [
        (refusal(400, "no such parameter"), "http_400", False, None),
        (refusal(401, "Incorrect API key provided: sk-test-0123456789."), "http_401", False, None),
        (refusal(403, "not for you"), "http_403", False, None),
        (refusal(404, "The model `m1` does not exist"), "http_404", False, None),
        (refusal(408, "too slow"), "http_408", True, None),
        (refusal(429, "slow down", headers={"retry-after": "7"}), "http_429", True, 7.0),
        (refusal(429, "no credit left", code="insufficient_quota"), "http_429", False, None),
        (refusal(500, "oh no"), "http_500", True, None),
        (refusal(503, "overloaded", headers={"retry-after": "30"}), "http_503", True, 30.0),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
async def test_refusals_say_whether_trying_again_helps(
    answer: Answer, code: str, retryable: bool, retry_after_s: float | None
) -> None:
    async with provider(answer) as model:
        failed = (await ask(model.url)).failed
    assert (code_of(failed), failed.retryable, failed.retry_after_s) == (code, retryable, retry_after_s)
    assert failed.status == int(code.removeprefix("http_"))
    assert "sk-test-0123456789" not in str(failed)
    assert len(model.asked) == 1  # the library tries nothing again by itself


@pytest.mark.parametrize(
    ("chunks", "code", "retryable"),
    [
        ([delta(content="The sum"), CUT], "network", True),
        ([CUT], "network", True),
        ([delta(content="The sum")], "network", True),
        ([delta(content="The sum"), "data: {no json\n\n"], "network", True),
        ([delta(content="The"), 'data: {"error": {"message": "overloaded", "code": 529}}\n\n'], "http_529", True),
        ([delta(content="The"), 'data: {"error": {"message": "bad", "code": "400"}}\n\n'], "http_400", False),
        ([delta(content="The sum"), end("length")], "agent_answer", False),
        ([delta(content="The sum"), end("content_filter")], "agent_answer", False),
        ([delta(content="x" * 1_000_001), end()], "agent_answer", False),
        ([*(call(n, f"c{n}", "add", "{}") for n in range(129)), end("tool_calls")], "agent_answer", False),
    ],
    ids=[
        "cut",
        "cut at once",
        "no end",
        "no json",
        "passing",
        "lasting",
        "too long",
        "filtered",
        "huge",
        "many calls",
    ],
)
async def test_answers_that_are_not_whole_are_failures(chunks: Answer, code: str, retryable: bool) -> None:
    async with provider(chunks) as model:
        failed = (await ask(model.url)).failed
    assert (code_of(failed), failed.retryable) == (code, retryable)


async def test_an_answer_that_pauses_for_too_long_is_a_failure() -> None:
    async with provider([delta(content="The sum"), PAUSE]) as model:
        failed = (await ask(model.url, silence_s=0.2)).failed
    assert (code_of(failed), failed.status, failed.retryable) == ("http_timeout", 504, True)


async def test_an_endpoint_that_is_not_there_is_a_failure_that_may_pass() -> None:
    failed = (await ask("http://127.0.0.1:9/v1")).failed
    assert (code_of(failed), failed.retryable) == ("network", True)


async def test_redirects_are_not_followed() -> None:
    async with (
        provider(says("4")) as model,
        provider(refusal(307, "there", headers={"location": model.url})) as other,
    ):
        failed = (await ask(other.url)).failed
    assert code_of(failed) == "http_307"
    assert model.asked == []


async def test_a_missing_library_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    failed = (await ask("http://127.0.0.1:9/v1")).failed
    assert failed.detail == (
        "agent steps need the library openai, which is not installed: pip install 'stepwell[agents]'"
    )
    assert not failed.retryable
