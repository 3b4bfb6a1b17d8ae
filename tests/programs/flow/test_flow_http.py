"""`call: http` against a client in memory: what is asked, what comes out, how it fails."""

from typing import Any

import pytest
from memory_run import Ending, MemoryRun, ending_of, run_through

from stepwell.core.errors import ERROR_BASE
from stepwell.core.program import Program
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.http import HttpError, HttpRequest, HttpResponse

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"
JSON = {"content-type": "application/json; charset=utf-8"}


class FakeClient:
    """Answers with what it was given, one after the other; the last answer stays."""

    def __init__(self, *answers: HttpResponse | HttpError) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, HttpError):
            raise answer
        return answer


OK = HttpResponse(status=200, headers=JSON, content=b'{"id": 1}')


def flow(arguments: str, client: FakeClient, *, around: str = "do: [{call: {call: http, with: {%s}}}]") -> Program:
    return FlowPrograms(http=client).compile(HEAD + around % arguments).program


async def request_of(arguments: str, value: Any = None) -> HttpRequest:
    client = FakeClient(OK)
    ending = await ending_of(MemoryRun(), flow(arguments, client), value)
    assert ending.failure is None, ending.failure
    return client.requests[0]


@pytest.mark.parametrize(
    ("endpoint", "value", "url"),
    [
        ("endpoint: 'http://x/pet/{petId}'", {"petId": 5}, "http://x/pet/5"),
        ("endpoint: {uri: 'http://x/pet/{petId}'}", {"petId": "a b/c"}, "http://x/pet/a%20b%2Fc"),
        ("endpoint: 'http://x/{gone}/{t}/{a.b}'", {"t": True, "a.b": "v", "a": {"b": 1}}, "http://x//true/v"),
        ("endpoint: 'http://x/{a}'", "no object", "http://x/"),
        ("endpoint: '${ .url }'", {"url": "http://y/{a}"}, "http://y/{a}"),
        (
            "endpoint: 'http://x', query: {a: '1', b: '${ .b }', c: '${ .none }'}",
            {"b": [1, "ä"]},
            "http://x?a=1&b=1&b=%C3%A4",
        ),
        ("endpoint: 'http://x/?q=1', query: '${ .q }'", {"q": {"r": 2}}, "http://x/?q=1&r=2"),
    ],
)
async def test_url_is_put_together(endpoint: str, value: Any, url: str) -> None:
    assert (await request_of(f"method: get, {endpoint}", value)).url == url


@pytest.mark.parametrize(
    ("body", "headers", "content"),
    [
        ("body: {a: '${ .x }'}", {"Content-Type": "application/json"}, b'{"a":5}'),
        ("body: text", {"Content-Type": "application/json"}, b'"text"'),
        (
            "headers: {Content-Type: text/plain, X: '${ .x }'}, body: text",
            {"Content-Type": "text/plain", "X": "5"},
            b"text",
        ),
        (
            "headers: {content-type: application/x-www-form-urlencoded}, body: {a: [1, b c]}",
            {"content-type": "application/x-www-form-urlencoded"},
            b"a=1&a=b+c",
        ),
        ("headers: '${ .h }'", {"A": "b"}, None),
    ],
)
async def test_body_and_headers_are_put_together(body: str, headers: dict[str, str], content: bytes | None) -> None:
    found = await request_of(f"method: post, endpoint: 'http://x', {body}", {"x": 5, "h": {"A": "b"}})
    sent = {name: value for name, value in found.headers.items() if name != "Idempotency-Key"}
    assert (sent, found.content) == (headers, content)


@pytest.mark.parametrize("method", ["get", "POST", "put", "patch", "delete", "head", "options"])
async def test_every_method_is_sent(method: str) -> None:
    assert (await request_of(f"method: {method}, endpoint: 'http://x'")).method == method


async def test_idempotency_key_is_that_of_the_step() -> None:
    found = await request_of("method: get, endpoint: 'http://x'")
    assert found.headers["Idempotency-Key"] == "run-1/do/0/call/1"


async def test_own_idempotency_key_stays() -> None:
    found = await request_of("method: get, endpoint: 'http://x', headers: {idempotency-key: mine}")
    assert found.headers == {"idempotency-key": "mine"}


@pytest.mark.parametrize(
    ("answer", "output", "expected"),
    [
        (OK, "content", {"id": 1}),
        (HttpResponse(status=204), "content", None),
        (
            HttpResponse(status=200, headers={"content-type": "text/plain; charset=latin-1"}, content=b"\xe4"),
            "content",
            "ä",
        ),
        (
            HttpResponse(status=200, headers={"content-type": "application/problem+json"}, content=b"[1]"),
            "content",
            [1],
        ),
        (HttpResponse(status=200, headers={"content-type": "image/png"}, content=b"\x00\x01"), "content", "AAE="),
        (HttpResponse(status=200, headers=JSON, content=b"{}"), "raw", "e30="),
        (
            HttpResponse(status=201, headers={**JSON, "set-cookie": "s=1"}, content=b"{}"),
            "response",
            {
                "request": {"method": "get", "uri": "http://x", "headers": {"Authorization": "***"}},
                "statusCode": 201,
                "headers": {**JSON, "set-cookie": "***"},
                "content": {},
            },
        ),
    ],
)
async def test_answer_becomes_the_output_asked_for(answer: HttpResponse, output: str, expected: Any) -> None:
    program = flow(
        f"method: get, endpoint: 'http://x', output: {output}, headers: {{Authorization: secret}}", FakeClient(answer)
    )
    assert await run_through(program) == Ending(output=expected)


@pytest.mark.parametrize(
    ("answer", "status", "retryable", "retry_after_s", "words"),
    [
        (
            HttpResponse(status=404, content=b"gone"),
            404,
            False,
            None,
            "GET http://x/a: expected a status from 200 to 299",
        ),
        (HttpResponse(status=302), 302, False, None, "found 302"),
        (HttpResponse(status=409), 409, True, None, "found 409"),
        (HttpResponse(status=429, headers={"retry-after": "7"}), 429, True, 7.0, "found 429"),
        (
            HttpResponse(
                status=503,
                headers={"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"},
            ),
            503,
            True,
            30.0,
            "found 503",
        ),
        (HttpResponse(status=503, headers={"retry-after": "soon"}), 503, True, None, "found 503"),
        (HttpError("no answer: refused"), 500, True, None, "no answer: refused"),
        (HttpError("no answer in time", timed_out=True), 504, True, None, "in time"),
        (HttpError("cannot be sent", retryable=False), 500, False, None, "cannot be sent"),
        (HttpResponse(status=200, headers=JSON, content=b"<html>"), 502, True, None, "expected JSON"),
    ],
)
async def test_failure_is_a_communication_error(
    answer: Any, status: int, retryable: bool, retry_after_s: float | None, words: str
) -> None:
    ending = await run_through(flow("method: get, endpoint: 'http://user:pw@x/a?secret=1'", FakeClient(answer)))
    found = ending.failure
    assert found is not None
    assert (found.type, found.status, found.retryable, found.retry_after_s, found.instance) == (
        f"{ERROR_BASE}communication",
        status,
        retryable,
        retry_after_s,
        "/do/0/call",
    )
    assert words in found.detail
    assert "secret" not in found.detail
    assert "pw" not in found.detail


async def test_redirects_are_fine_when_asked_for() -> None:
    client = FakeClient(HttpResponse(status=302, headers={"location": "http://y"}))
    assert (await run_through(flow("method: get, endpoint: 'http://x', redirect: true", client))).failure is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("endpoint: 'http://x/{o}'", "for {o}, found an object"),
        ("endpoint: '${ .o }'", "the text of a URI, found an object"),
        ("endpoint: 'http://x', headers: {X: \"secret\\nY: 1\"}", "one line of ASCII for the header 'X'"),
        ("endpoint: 'http://x', headers: {X: \"secret\\0\"}", "one line of ASCII for the header 'X'"),
        ("endpoint: 'http://x', headers: {X: 'secret grün'}", "one line of ASCII for the header 'X'"),
        ("endpoint: 'http://x', headers: {X Y: '1'}", "the name of a header, found 'X Y'"),
        ("endpoint: 'http://x', query: '${ .n }'", "query parameters, found the number"),
        ("endpoint: 'http://x', query: {a: '${ .o }'}", "query parameter 'a'"),
        ("endpoint: 'http://x', headers: '${ .n }'", "headers, found the number"),
        ("endpoint: 'http://x', headers: {a: '${ .o }'}", "header 'a'"),
    ],
)
async def test_bad_argument_is_an_expression_error(arguments: str, words: str) -> None:
    ending = await run_through(flow(f"method: get, {arguments}", FakeClient(OK)), {"o": {"x": 1}, "n": 1})
    assert ending.failure is not None
    assert ending.failure.type == f"{ERROR_BASE}expression"
    assert words in ending.failure.detail
    assert "secret" not in ending.failure.detail


async def test_retry_waits_at_least_as_long_as_the_answer_asks() -> None:
    client = FakeClient(HttpResponse(status=503, headers={"retry-after": "20"}), OK)
    program = flow(
        "method: get, endpoint: 'http://x'",
        client,
        around=(
            "do: [{t: {try: [{call: {call: http, with: {%s}}}], catch: {retry: {delay: PT1S, "
            "limit: {attempt: {count: 3}}}}}}]"
        ),
    )
    memory = MemoryRun()
    started_at = memory.now
    assert (await ending_of(memory, program, None)).failure is None
    assert memory.now - started_at == 20


async def test_404_can_be_caught_by_its_status() -> None:
    client = FakeClient(HttpResponse(status=404))
    program = flow(
        "method: get, endpoint: 'http://x/{petName}'",
        client,
        around=(
            "do: [{tryGetPet: {try: [{getPet: {call: http, with: {%s}}}], catch: {errors: {with: {type: "
            "'https://serverlessworkflow.io/dsl/errors/types/communication', status: 404}}, as: err, do: [{setError: "
            "{set: {error: '${ $err }'}}}]}}}]"
        ),
    )
    ending = await run_through(program, {"petName": "Milou"})
    assert ending.output["error"]["instance"] == "/do/0/tryGetPet/try/0/getPet"
    assert ending.output["error"]["status"] == 404
