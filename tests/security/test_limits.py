"""How large and how deep: against the application, and against a real server for what only a socket can do."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.testclient import TestClient

from stepwell.security.limits.json_text import check_json
from stepwell.security.limits.protocol import MAX_BYTES, BoundedHeaders
from stepwell.security.limits.sizes import SizeRules
from stepwell.security.refusals import AccessError, Reason

from .apps import BEARER, application

SMALL = SizeRules(header_bytes=2000, body_bytes=100, upload_bytes=1000, json_depth=4)
JSON = {**BEARER, "Content-Type": "application/json"}
MULTIPART = {**BEARER, "Content-Type": "multipart/form-data; boundary=x"}


def client() -> TestClient:
    return TestClient(application(sizes=SMALL), client=("192.0.2.7", 1))


# --- body -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "status"), [(0, 200), (1, 200), (100, 200), (101, 413), (100_000, 413)])
def test_body_up_to_the_limit_is_taken(size: int, status: int) -> None:
    found = client().post("/x", content=b"x" * size, headers=BEARER)
    assert found.status_code == status
    assert found.headers.get("connection") == ("close" if status == 413 else None)


def test_body_that_does_not_say_its_size_is_counted() -> None:
    def given(times: int) -> list[bytes]:
        return [b"x" * 50] * times

    assert client().post("/x", content=iter(given(2)), headers=BEARER).json() == {"bytes": 100}
    assert client().post("/x", content=iter(given(3)), headers=BEARER).status_code == 413


def test_upload_has_a_limit_of_its_own() -> None:
    assert client().post("/x", content=b"x" * 1000, headers=MULTIPART).json() == {"bytes": 1000}
    refused = client().post("/x", content=b"x" * 1001, headers=MULTIPART)
    assert (refused.status_code, refused.text) == (413, "body_too_large")


def test_upload_that_does_not_say_its_size_is_cut_off_in_the_doors_words() -> None:
    refused = client().post("/api/v1/workflows", content=iter([b"x" * 600] * 2), headers=MULTIPART)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("said", ["-1", "+1", "1_0", "0x10", "１０", "", "9" * 30, "1, 2"])
def test_content_length_that_is_no_number_is_refused(said: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in {**BEARER, "Content-Length": said}.items()]
    found = client().post("/x", content=iter([b""]), headers=headers)
    assert found.status_code in (400, 413)


def test_open_paths_are_limited_too() -> None:
    assert client().post("/api/v1/workflow-callbacks/t", content=b"x" * 101).status_code == 413


def test_nobody_makes_us_read_a_body_before_saying_who_they_are() -> None:
    assert client().post("/x", content=b"x" * 100_000).status_code == 401


# --- headers --------------------------------------------------------------------------------------------------------


def test_headers_up_to_the_limit_are_taken() -> None:
    assert client().get("/x", headers={**BEARER, "X-A": "a" * 1000}).status_code == 200
    refused = client().get("/x", headers={**BEARER, "X-A": "a" * 2000})
    assert (refused.status_code, refused.text) == (431, "headers_too_large")


def test_target_counts_as_a_header() -> None:
    assert client().get("/" + "a" * 2000, headers=BEARER).status_code == 431
    assert client().get("/?" + "a" * 2000, headers=BEARER).status_code == 431


# --- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a": [[[1]]]}', None),
        ('{"a": [[[[1]]]]}', "json_too_deep"),
        ('{"a": 1, "a": 2}', "json_duplicate_key"),
        ("{", None),  # the door says it in its own words
    ],
)
@pytest.mark.parametrize(
    "kind", ["application/json", "application/cloudevents+json", "application/x-www-form-urlencoded"]
)
def test_json_is_checked_before_a_door_reads_it(text: str, code: str | None, kind: str) -> None:
    found = client().post("/x", content=text, headers={**BEARER, "Content-Type": kind})
    assert (found.status_code, found.text if code else None) == ((400, code) if code else (200, None))


def test_other_bodies_are_not_taken_for_json() -> None:
    found = client().post("/x", content="[[[[[[1]]]]]]", headers={**BEARER, "Content-Type": "text/plain"})
    assert found.status_code == 200


def refused(text: str | bytes, max_depth: int = 64) -> Reason | None:
    try:
        check_json(text if isinstance(text, bytes) else text.encode(), max_depth=max_depth)
    except AccessError as error:
        return error.refusal.reason
    return None


@pytest.mark.parametrize(
    "text",
    [
        "1",
        '"text"',
        "[" * 64 + "]" * 64,
        json.dumps(["[" * 100, "{" * 100, '\\"[' * 100]),
        json.dumps([{}] * 1000),
        json.dumps([{"a": 1}, {"a": 1}]),
        '{"a": {"a": {"a": 1}}}',
        "",
        "no json",
        '{"a": NaN}',
        '"' + '\\"' * 10,
    ],
)
def test_honest_json_and_no_json_pass(text: str) -> None:
    assert refused(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 65 + "]" * 65, Reason.JSON_TOO_DEEP),
        ("[" * 1_000_000, Reason.JSON_TOO_DEEP),
        ('{"a":' * 100_000, Reason.JSON_TOO_DEEP),
        ('[{"a":' * 33 + "1" + "}]" * 33, Reason.JSON_TOO_DEEP),
        ('["\\\\", ' + "[" * 64 + "]" * 65, Reason.JSON_TOO_DEEP),
        ('{"a": 1, "\\u0061": 2}', Reason.JSON_DUPLICATE_KEY),
        ('[{"b": {"a": 1, "c": [], "a": 1}}]', Reason.JSON_DUPLICATE_KEY),
        ('{"":1,"":1}', Reason.JSON_DUPLICATE_KEY),
    ],
)
def test_json_that_means_to_confuse_is_refused(text: str, reason: Reason) -> None:
    assert refused(text) is reason


@pytest.mark.parametrize("text", ['"' + '\\"' * 100_000, '" ' * 100_000, '{"a":1,' * 30_000, '["' + "\\" * 200_000])
def test_hostile_text_takes_time_in_proportion_to_its_size(text: str) -> None:
    """A reader of bad habits would walk the rest once per quote: minutes, not milliseconds."""
    begun = time.perf_counter()
    refused("[]" * 65 + text)
    assert time.perf_counter() - begun < 2


# --- a real server --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    config = uvicorn.Config(
        application(), http=BoundedHeaders, log_config=None, proxy_headers=False, lifespan="off", loop="asyncio"
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def exchange(port: int, *parts: bytes) -> bytes:
    """Send parts until the server has had enough; all that it answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        pass
    try:
        return await asyncio.wait_for(reader.read(), timeout=10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_server_takes_requests_of_usual_size() -> None:
    head = b"GET /health HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 20_000 + b"\r\n"
    async with serving() as port:
        first = head + b"\r\n"
        found = await exchange(port, first, first, head + b"Connection: close\r\n\r\n")
    assert found.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"GET / HTTP/1.1\r\nX-A: ", b"a" * 4096),  # one header without end
        (b"GET / HTTP/1.1\r\n", b"X-A: a\r\n" * 512),  # headers without end
        (b"GET /", b"a" * 4096),  # a target without end
    ],
)
async def test_server_ends_headers_without_end(first: bytes, more: bytes) -> None:
    async with serving() as port:
        found = await exchange(port, first, *[more] * (8 * MAX_BYTES // len(more)))
    assert found == b"" or found.startswith(b"HTTP/1.1 431 ")


async def test_server_does_not_take_a_large_body_for_headers() -> None:
    body = b"x" * 900_000
    head = (
        b"POST /api/v1/workflow-callbacks/t HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    )
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    async with serving() as port:
        found = await exchange(port, head, *[body[at : at + 10_000] for at in range(0, len(body), 10_000)])
    assert found.endswith(b'{"bytes":900000}')


async def test_server_does_not_count_a_body_that_ends_as_the_next_headers() -> None:
    head = b"POST /api/v1/workflow-callbacks/t HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    first = head + b"Content-Length: 120000\r\n\r\n" + b"x" * 120_000 + b"GET /health HTTP/1.1\r\nHos"
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        await asyncio.wait_for(reader.readuntil(b'{"bytes":120000}'), timeout=10)
        writer.write(b"t: a\r\nConnection: close\r\n\r\n")
        found = await asyncio.wait_for(reader.read(), timeout=10)
        writer.close()
    assert b"HTTP/1.1 200 OK" in found


async def test_server_cuts_a_chunked_body_off() -> None:
    head = b"POST /api/v1/workflow-callbacks/t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with serving() as port:
        found = await exchange(port, head, *[chunk] * 64)
    assert found == b"" or b"413" in found.split(b"\r\n")[0]
