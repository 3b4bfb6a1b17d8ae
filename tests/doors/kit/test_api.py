"""Operations: what they take is read, what they refuse is worded by the door's one table."""

from pathlib import Path

import pytest
from starlette.responses import Response

from stepwell.core.errors import RefusedError, StorageUnavailableError
from stepwell.core.principal import LOCAL
from stepwell.doors.kit import Call, ErrorTable, Reply, Wrong

from .things import PATH, NewThing, Things, serving

ID = "7b0c3a52-0f52-7c58-9d2d-3c1a7a1f5c10"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers", "status", "detail"),
    [
        (b"{}", JSON, 400, "name: is required"),
        (b"", {}, 400, "name: is required"),
        (b"[]", JSON, 400, "expected an object, found an array of 0"),
        (b"{", JSON, 400, "expected JSON, found other text: Input data was truncated"),
        (b'{"name": "a"}', {}, 415, "Content-Type: expected application/json, found none"),
        (b'{"name": "a"}', {"content-type": "a/b"}, 415, "Content-Type: expected application/json, found a/b"),
    ],
)
async def test_body_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    things = Things()
    async with serving(things.api, tmp_path) as client:
        answer = await client.post(PATH, content=content, headers=headers)

    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"
    assert things.made == []


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"])
async def test_json_is_taken_under_its_names(tmp_path: Path, media: str) -> None:
    async with serving(Things().api, tmp_path) as client:
        answer = await client.post(PATH, content=b'{"name": "a"}', headers={"content-type": media})

    assert (answer.status_code, answer.headers["location"]) == (201, "/things/1")
    assert answer.json() == {"name": "a", "number": 1, "start_key": None}


async def test_query_is_read_and_its_faults_are_told(tmp_path: Path) -> None:
    async with serving(Things().api, tmp_path) as client:
        good = await client.get(f"{PATH}?limit=3&colour=red,blue")
        bad = await client.get(f"{PATH}?limit=0&offset=x")

    assert good.json() == {"limit": 3, "start": {}, "colour": ["red", "blue"]}
    assert [fault["place"] for fault in bad.json()["faults"]] == ["limit", "offset"]


@pytest.mark.parametrize(("id", "status"), [(ID, 200), (ID.upper(), 200), ("abc", 404), (ID.replace("-", ""), 404)])
async def test_id_that_is_no_uuid_is_not_there(tmp_path: Path, id: str, status: int) -> None:
    async with serving(Things().api, tmp_path) as client:
        answer = await client.get(f"{PATH}/{id}")

    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"id": ID}


async def test_paths_and_methods_that_are_not_there_are_worded_by_the_door(tmp_path: Path) -> None:
    things = Things()
    teapot = ErrorTable(
        dict.fromkeys(things.api.errors._rows, lambda _error: Wrong(status=418, code="", message="teapot")),
        word=lambda _scope, wrong: Response(wrong.message, wrong.status),
    )
    things.api.errors = teapot
    async with serving(things.api, tmp_path) as client:
        ours = [await client.get("/things/a/b/c"), await client.put(PATH), await client.get(f"{PATH}/")]
        nobodys = await client.get("/thing")

    assert [answer.text for answer in ours] == ["teapot"] * 3
    assert (nobodys.status_code, nobodys.headers["content-type"]) == (404, "application/problem+json")


async def test_a_wrong_method_is_told_every_right_one(tmp_path: Path) -> None:
    async with serving(Things().api, tmp_path) as client:
        answer = await client.put(f"{PATH}/{ID}")

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "DELETE"}


async def test_head_is_get_without_a_body(tmp_path: Path) -> None:
    async with serving(Things().api, tmp_path) as client:
        answer = await client.head(f"{PATH}/{ID}")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (RefusedError("wrong_status", "a failed run cannot be paused"), 409, "a failed run cannot be paused"),
        (StorageUnavailableError("the disk is full"), 503, "the disk is full"),
        (ZeroDivisionError("secret"), 500, "the server failed to answer this request; its log says why"),
    ],
)
async def test_what_an_operation_raises_is_worded(tmp_path: Path, error: Exception, status: int, detail: str) -> None:
    things = Things()

    async def fail(_call: Call, _body: NewThing) -> Reply:
        raise error

    things.make = fail
    async with serving(things.api, tmp_path) as client:
        answer = await client.post(PATH, json={"name": "a"})

    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


async def test_operation_knows_who_asks(tmp_path: Path) -> None:
    things = Things()

    async def tell(call: Call, _body: NewThing) -> Reply:
        return Reply(body={"principal": call.principal.id, "actor": call.actor.type, "ip": call.actor.ip})

    things.make = tell
    async with serving(things.api, tmp_path) as client:
        answer = await client.post(PATH, json={"name": "a"})

    assert answer.json() == {"principal": LOCAL.id, "actor": "local", "ip": "127.0.0.1"}


def test_table_without_a_row_for_what_every_door_meets_is_refused() -> None:
    with pytest.raises(TypeError, match="needs rows for AccessError, Exception"):
        ErrorTable({}, word=lambda _scope, _wrong: Response())
