"""The httpx client, over httpx's own transport double."""

from collections.abc import Callable

import httpx
import pytest

from stepwell.programs.http import HttpError, HttpRequest, HttpResponse, HttpxClient

Answer = Callable[[httpx.Request], httpx.Response]


async def send(answer: Answer, *, url: str = "http://x/a?b=c", max_response_bytes: int = 100) -> HttpResponse:
    async with HttpxClient(transport=httpx.MockTransport(answer), max_response_bytes=max_response_bytes) as client:
        return await client.send(HttpRequest(method="post", url=url, headers={"A": "b"}, content=b"body"))


async def test_request_and_response_pass_through() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url), request.headers["a"], request.content) == (
            "POST",
            "http://x/a?b=c",
            "b",
            b"body",
        )
        return httpx.Response(201, headers={"X-Y": "z"}, content=b"hello")

    found = await send(answer)
    assert (found.status, found.headers["x-y"], found.content) == (201, "z", b"hello")


async def test_redirect_is_not_followed() -> None:
    found = await send(lambda _request: httpx.Response(302, headers={"Location": "http://y"}))
    assert found.status == 302


def _raise(error: Exception) -> Answer:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "timed_out", "retryable"),
    [
        (httpx.ConnectError("refused"), False, True),
        (httpx.ReadTimeout("late"), True, True),
        (httpx.RemoteProtocolError("broken"), False, True),
        (httpx.UnsupportedProtocol("odd"), False, False),
    ],
)
async def test_no_answer_is_one_error(error: Exception, timed_out: bool, retryable: bool) -> None:
    with pytest.raises(HttpError) as caught:
        await send(_raise(error))
    assert (caught.value.timed_out, caught.value.retryable) == (timed_out, retryable)


@pytest.mark.parametrize("url", ["gopher://x", "x", "http://exa mple/\x00"])
async def test_url_that_cannot_be_called_is_not_tried_again(url: str) -> None:
    async with HttpxClient() as client:
        with pytest.raises(HttpError) as caught:
            await client.send(HttpRequest(method="get", url=url))
    assert not caught.value.retryable


async def test_answer_that_is_too_large_is_cut_off() -> None:
    with pytest.raises(HttpError, match="at most 100 bytes"):
        await send(lambda _request: httpx.Response(200, content=b"x" * 101))
