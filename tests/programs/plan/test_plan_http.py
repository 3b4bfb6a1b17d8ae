"""`task` with `action: http.request`: what is sent, what comes back, what is tried again."""

from typing import Any

import pytest

from stepwell.core.errors import code_of
from stepwell.programs.http import HttpError, HttpResponse

from .plan_world import Endpoint, PlanWorld, Played, http, json_response, play, template, variables

THREE = {"max_attempts": 3, "jitter": 0}


def call(endpoint: Endpoint, **rest: Any) -> Played:
    document = template(http("h", **rest), variables=variables(n="integer", host="string"))
    return play(document, {"n": 2, "host": "them.example"}, world=PlanWorld(endpoint=endpoint))


def test_a_request_is_put_together_from_its_parts() -> None:
    endpoint = Endpoint()
    call(
        endpoint,
        method="put",
        url="https://{{ input.host }}/rows/{{ input.n }}",
        headers={"X-N": "{{ input.n }}"},
        query={"q": ["a", "{{ input.n }}"]},
        body={"n": "{{ input.n }}"},
    )
    sent = endpoint.asked[0]
    assert (sent.method, sent.url) == ("PUT", "https://them.example/rows/2?q=a&q=2")
    assert sent.headers["X-N"] == "2"
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.content == b'{"n":2}'


def test_get_is_the_default_method() -> None:
    endpoint = Endpoint()
    call(endpoint)
    assert (endpoint.asked[0].method, endpoint.asked[0].content) == ("GET", None)


def test_the_output_is_status_headers_and_body() -> None:
    endpoint = Endpoint(lambda _: json_response({"rows": [1]}, 201, x_a="b", set_cookie="sid=1"))
    assert call(endpoint).output == {
        "status": 201,
        "headers": {"content-type": "application/json", "x-a": "b", "set-cookie": "***"},
        "body": {"rows": [1]},
    }


def test_text_and_nothing_are_bodies_too() -> None:
    text = HttpResponse(status=200, headers={"content-type": "text/plain"}, content=b"hello")
    assert call(Endpoint(lambda _: text)).output["body"] == "hello"
    assert call(Endpoint(lambda _: HttpResponse(status=204))).output["body"] is None


def test_every_attempt_carries_the_same_idempotency_key() -> None:
    endpoint = Endpoint(lambda _: HttpResponse(status=503))
    played = call(endpoint, retry=THREE)
    keys = {request.headers["Idempotency-Key"] for request in endpoint.asked}
    assert len(endpoint.asked) == 3
    assert keys == {f"{played.view.row.run_id}/h/1"}


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    endpoint = Endpoint(lambda _: HttpResponse(status=status))
    played = call(endpoint, retry=THREE)
    assert len(endpoint.asked) == 3
    assert code_of(played.result.error) == f"http_{status}"


@pytest.mark.parametrize("status", [301, 400, 401, 404, 422])
def test_what_stays_wrong_is_not_tried_again(status: int) -> None:
    endpoint = Endpoint(lambda _: json_response({"why": "no"}, status))
    played = call(endpoint, retry=THREE)
    assert len(endpoint.asked) == 1
    assert code_of(played.result.error) == f"http_{status}"
    assert "no" in played.result.error.data["content"]


@pytest.mark.parametrize(
    ("retry_on", "answer", "attempts"),
    [
        (["http_5xx"], HttpResponse(status=503), 3),
        (["http_5xx"], HttpResponse(status=429), 1),
        (["http_429"], HttpResponse(status=429), 3),
        (["http_429"], HttpResponse(status=503), 1),
        (["timeout"], HttpError("too slow", timed_out=True), 3),
        (["timeout"], HttpError("cut off"), 1),
        (["network"], HttpError("cut off"), 3),
    ],
)
def test_retry_on_knows_statuses_and_ways_to_fail(retry_on: list[str], answer: Any, attempts: int) -> None:
    endpoint = Endpoint(lambda _: answer)
    call(endpoint, retry={**THREE, "retry_on": retry_on})
    assert len(endpoint.asked) == attempts


def test_retry_after_is_the_delay() -> None:
    endpoint = Endpoint(
        lambda _: (
            HttpResponse(status=429, headers={"retry-after": "7"}) if len(endpoint.asked) < 2 else json_response(1)
        )
    )
    played = call(endpoint, retry=THREE)
    assert played.step("h").attempts[1].started_at - played.step("h").attempts[0].started_at == pytest.approx(7)


def test_an_output_schema_applies_to_the_whole_answer() -> None:
    schema = {"properties": {"body": {"type": "array"}}}
    played = call(Endpoint(lambda _: json_response({"no": "list"})), output_schema=schema)
    assert code_of(played.result.error) == "invalid_output"


def test_credentials_are_not_shown_in_the_input() -> None:
    played = call(Endpoint(), headers={"Authorization": "Bearer abc", "X": "1"}, body={"a": 1}, method="POST")
    shown = played.step("h").input
    assert shown["headers"] == {"Authorization": "***", "X": "1", "Content-Type": "application/json"}
    assert (shown["method"], shown["body"]) == ("POST", {"a": 1})


def test_json_that_is_none_is_an_error() -> None:
    broken = HttpResponse(status=200, headers={"content-type": "application/json"}, content=b"{")
    assert "expected JSON as its content type says" in call(Endpoint(lambda _: broken)).result.error.detail


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ({"url": "ftp://them.example"}, "/steps/0/config/url"),
        ({"url": "{{ input.n }}"}, "/steps/0/config"),
        ({"method": "{{ input.n }}"}, "/steps/0/config/method"),
        ({"headers": {"X": {"a": 1}}}, "/steps/0/config"),
        ({"headers": {"X": "secret\r\nY: 1"}}, "/steps/0/config"),
        ({"query": "a=1"}, "/steps/0/config"),
    ],
)
def test_what_cannot_be_sent_is_told_before_it_is(rest: dict[str, Any], place: str) -> None:
    endpoint = Endpoint()
    error = call(endpoint, **rest).result.error
    assert (error.instance, endpoint.asked) == (place, [])
