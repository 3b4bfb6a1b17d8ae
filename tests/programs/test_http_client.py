"""The httpx client, over httpx's own transport double."""

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable

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


async def test_cookies_of_an_answer_are_not_sent_again() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"Set-Cookie": "session=anna; Path=/"})

    async with HttpxClient(transport=httpx.MockTransport(answer)) as client:
        for headers in ({}, {}, {"Cookie": "own=1"}):
            await client.send(HttpRequest(method="get", url="http://x.example/", headers=headers))
    assert seen == [None, None, "own=1"]


class Stream(httpx.AsyncByteStream):
    """A body as it comes from the network: httpx does not look into it beforehand."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 1000):
            yield self._content[start : start + 1000]


def encoded(content: bytes, encoding: str) -> Answer:
    return lambda _request: httpx.Response(200, headers={"Content-Encoding": encoding}, stream=Stream(content))


LARGE = gzip.compress(b"x" * 50_000_000)


async def test_gzip_is_decoded() -> None:
    assert (await send(encoded(gzip.compress(b"hello" * 10), "gzip"))).content == b"hello" * 10
    assert (await send(encoded(b"", "gzip"))).content == b""


@pytest.mark.parametrize(
    ("answer", "words", "retryable"),
    [
        (encoded(gzip.compress(b"x" * 101), "gzip"), "at most 100 bytes", False),
        (encoded(LARGE, "gzip"), "at most 100 bytes", False),
        (encoded(gzip.compress(LARGE), "gzip, gzip"), "no Content-Encoding but gzip, found gzip, gzip", False),
        (encoded(b"x", "br"), "found br", False),
        (encoded(b"no gzip at all", "gzip"), "expected gzip, found something else", False),
        (encoded(gzip.compress(b"x")[:-1], "gzip"), "has no end", True),
    ],
)
async def test_small_answer_that_stands_for_a_large_one_is_refused(
    answer: Answer, words: str, retryable: bool
) -> None:
    tracemalloc.start()
    with pytest.raises(HttpError, match=words) as caught:
        await send(answer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.retryable == retryable
    assert peak < 5_000_000


async def test_answer_that_is_too_large_is_cut_off() -> None:
    with pytest.raises(HttpError, match="at most 100 bytes"):
        await send(lambda _request: httpx.Response(200, content=b"x" * 101))
