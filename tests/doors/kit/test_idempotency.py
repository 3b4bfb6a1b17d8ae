"""Idempotency keys: one request, however often it is sent, whoever sends it, whatever happens in between."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.responses import Response

from stepwell.core.errors import RefusedError, StorageUnavailableError
from stepwell.core.principal import Principal
from stepwell.doors.kit import Call, KeyPendingError, KeyReusedError, Reply
from stepwell.doors.kit.idempotency import KEPT_S, KIND, ForgetKeys, Once, fingerprint_of, record_id
from stepwell.doors.server import build
from stepwell.engine import Started
from stepwell.store.model import Record
from stepwell.store.sqlite import SqliteStore

from .things import PATH, NewThing, SetClock, Things, client_of, engine_at, opening_of, serving

KEY = {"Idempotency-Key": "k1"}


async def make(client: httpx.AsyncClient, name: str = "a", headers: dict[str, str] | None = None) -> httpx.Response:
    return await client.post(PATH, json={"name": name}, headers=KEY if headers is None else headers)


def parts_of(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.content, {**answer.headers, "idempotency-replayed": ""}


@pytest.mark.parametrize("name", ["Idempotency-Key", "X-Idempotency-Key"])
async def test_same_key_and_body_get_the_first_answer_again(tmp_path: Path, name: str) -> None:
    things = Things()
    async with serving(things.api, tmp_path) as client:
        first = await make(client, headers={name: "k1"})
        again = await make(client, headers={name: "k1"})

    assert things.made == ["a"]
    assert parts_of(again) == parts_of(first)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_without_a_key_every_request_counts(tmp_path: Path) -> None:
    things = Things()
    async with serving(things.api, tmp_path) as client:
        answers = [await make(client, headers={}) for _ in range(2)]

    assert [answer.json()["number"] for answer in answers] == [1, 2]


async def test_another_body_under_the_same_key_is_refused(tmp_path: Path) -> None:
    things = Things()
    async with serving(things.api, tmp_path) as client:
        await make(client)
        other = await make(client, "b")
        query = await client.post(f"{PATH}?x=1", json={"name": "a"}, headers=KEY)

    assert [other.status_code, query.status_code] == [422, 422]
    assert other.json()["detail"] == "the idempotency key was used before with another request: choose a new one"
    assert things.made == ["a"]


async def test_key_belongs_to_its_principal(tmp_path: Path) -> None:
    things = Things()
    for name in ("ann", "bob", "ann"):
        principal = Principal(type="user", id=name, owner=name)
        async with serving(things.api, tmp_path, principal=principal) as client:
            assert (await make(client)).status_code == 201

    assert things.made == ["a", "a"]


def test_key_belongs_to_its_method_path_and_organisation() -> None:
    ann = Principal(type="user", id="ann", owner="ann")
    elsewhere = msgspec.structs.replace(ann, organisation="acme")
    calls = [(ann, "POST", "/a"), (ann, "PUT", "/a"), (ann, "POST", "/b"), (elsewhere, "POST", "/a")]

    ids = {record_id("k", principal=principal, method=method, path=path) for principal, method, path in calls}

    assert len(ids) == 4
    assert all(len(id) == 64 for id in ids)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x01b"])
async def test_key_that_is_none_is_refused(tmp_path: Path, key: str) -> None:
    things = Things()
    async with serving(things.api, tmp_path) as client:
        answer = await make(client, headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert answer.json()["faults"][0]["place"] == "Idempotency-Key"
    assert things.made == []


async def test_two_keys_that_differ_are_refused(tmp_path: Path) -> None:
    async with serving(Things().api, tmp_path) as client:
        answer = await make(client, headers={"Idempotency-Key": "a", "X-Idempotency-Key": "b"})

    assert (answer.status_code, answer.json()["detail"]) == (400, "Idempotency-Key: expected one key, found several")


async def test_malformed_request_does_not_use_its_key_up(tmp_path: Path) -> None:
    async with serving(Things().api, tmp_path) as client:
        bad = await client.post(PATH, json={}, headers=KEY)
        good = await make(client)

    assert [bad.status_code, good.status_code] == [400, 201]


async def test_two_hundred_at_once_are_one_request_with_equal_answers(tmp_path: Path) -> None:
    things = Things()
    begun = asyncio.Event()

    async def slowly(call: Call, body: NewThing) -> Reply:
        await begun.wait()
        return await things._make(call, body)

    things.make = slowly
    async with serving(things.api, tmp_path) as client:
        asking = [asyncio.create_task(make(client)) for _ in range(200)]
        asyncio.get_running_loop().call_soon(begun.set)
        answers = await asyncio.gather(*asking)

    assert things.made == ["a"]
    assert Counter((answer.status_code, answer.content) for answer in answers) == {
        (201, answers[0].content): 200,
    }
    assert Counter("idempotency-replayed" in answer.headers for answer in answers) == {True: 199, False: 1}


async def test_refusal_is_an_answer_that_stays(tmp_path: Path) -> None:
    things, tries = Things(), Counter[str]()

    async def refuse(_call: Call, body: NewThing) -> Reply:
        tries[body.name] += 1
        raise RefusedError("wrong_status", f"try {tries[body.name]}")

    things.make = refuse
    async with serving(things.api, tmp_path) as client:
        answers = [await make(client) for _ in range(2)]

    assert [(answer.status_code, answer.json()["detail"]) for answer in answers] == [(409, "try 1")] * 2


async def test_our_own_fault_is_not_the_last_word(tmp_path: Path) -> None:
    things = Things()
    keys: list[str | None] = []

    async def fail_first(call: Call, body: NewThing) -> Reply:
        keys.append(call.start_key)
        if len(keys) == 1:
            raise StorageUnavailableError("the disk is full")
        return await things._make(call, body)

    things.make = fail_first
    async with serving(things.api, tmp_path) as client:
        answers = [await make(client) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 201, 201]
    assert keys[0] == keys[1]
    assert len(keys) == 2


async def test_answer_that_cannot_be_kept_is_given_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    things = Things()
    async with serving(things.api, tmp_path) as client:

        async def fill_the_disk(call: Call, body: NewThing) -> Reply:
            async def full(*_: object, **__: object) -> bool:
                raise StorageUnavailableError("the disk is full")

            monkeypatch.setattr(call.engine.store, "put_record", full)
            return await things._make(call, body)

        things.make = fill_the_disk
        answer = await make(client)

    assert (answer.status_code, things.made) == (201, ["a"])


async def test_open_path_has_nobody_whose_key_it_could_be(tmp_path: Path) -> None:
    things = Things()
    server = build(opening=opening_of(engine_at(tmp_path)), middleware=[], doors=[things.api])
    async with client_of(server) as client:
        answers = [await make(client) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert things.made == ["a", "a"]


# --- the record -----------------------------------------------------------------------------------------------------


async def created(text: str = "made") -> Response:
    return Response(text, 201, {"Location": "/x"})


async def test_repeat_while_the_first_works_waits_and_then_gives_up(tmp_path: Path) -> None:
    engine = engine_at(tmp_path)
    await engine.open()
    once = Once(engine.store, engine.clock, wait_s=0.01)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(_start_key: str) -> Response:
        begun.set()
        await goes_on.wait()
        return await created()

    first = asyncio.create_task(once.answer("id", "same", slow))
    await begun.wait()
    with pytest.raises(KeyPendingError):
        await once.answer("id", "same", slow)
    with pytest.raises(KeyReusedError):
        await once.answer("id", "other", slow)
    goes_on.set()
    assert (await first).body == b"made"
    await engine.close()


async def test_request_cut_off_by_a_crash_is_done_again_under_the_same_start_key(tmp_path: Path) -> None:
    store, clock = SqliteStore(str(tmp_path / "runs.db")), SetClock()
    await store.open()
    keys: list[str] = []

    async def dies(start_key: str) -> Response:
        keys.append(start_key)
        raise asyncio.CancelledError

    async def works(start_key: str) -> Response:
        keys.append(start_key)
        return await created()

    with pytest.raises(asyncio.CancelledError):
        await Once(store, clock).answer("id", "same", dies)
    clock.ahead_s = 60
    after_restart = Once(store, clock)
    answers = [await after_restart.answer("id", "same", works) for _ in range(2)]

    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true"]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    await store.close()


async def test_run_that_was_started_before_a_crash_is_found_by_the_repeat(tmp_path: Path) -> None:
    things = Things()
    started: list[Started] = []

    async def start(call: Call, _body: NewThing) -> Reply:
        await call.engine.save(kind="python", name="nothing", version="", text="nothing")
        started.append(await call.engine.start("nothing", start_key=call.start_key))
        if len(started) == 1:
            raise asyncio.CancelledError  # the process ends before there is an answer
        return Reply(body={"run": started[-1].run_id})

    things.make = start
    async with serving(things.api, tmp_path) as client:
        with pytest.raises(asyncio.CancelledError):
            await make(client)
    async with serving(things.api, tmp_path) as client:
        answer = await make(client)

    assert answer.json() == {"run": started[0].run_id}
    assert [one.created for one in started] == [True, False]


async def test_who_waited_for_a_request_that_was_cut_off_does_it(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "runs.db"))
    await store.open()
    once, begun = Once(store, SetClock()), asyncio.Event()

    async def for_ever(_start_key: str) -> Response:
        begun.set()
        return await asyncio.Future[Response]()

    async def works(_start_key: str) -> Response:
        return await created()

    first = asyncio.create_task(once.answer("id", "same", for_ever))
    await begun.wait()
    second = asyncio.create_task(once.answer("id", "same", works))
    await asyncio.wait({second}, timeout=0)
    first.cancel()

    assert (await second).status_code == 201
    await store.close()


async def test_key_is_free_again_after_a_day_and_its_record_is_dropped(tmp_path: Path) -> None:
    store, clock = SqliteStore(str(tmp_path / "runs.db")), SetClock()
    await store.open()
    once = Once(store, clock)
    keys: list[str] = []

    async def works(start_key: str) -> Response:
        keys.append(start_key)
        return await created()

    await once.answer("id", "same", works)
    clock.ahead_s = KEPT_S + 1
    await once.answer("id", "other", works)
    assert len(set(keys)) == 2

    assert await _forget(store, clock) == 1
    clock.ahead_s *= 2
    assert await _forget(store, clock) == 0
    await store.close()


async def _forget(store: SqliteStore, clock: SetClock) -> int:
    """How many records are left."""
    await ForgetKeys(store).run_once(clock.now())
    return len(await store.get_records(KIND))


async def test_record_holds_no_key_and_no_request(tmp_path: Path) -> None:
    things = Things()
    engine = engine_at(tmp_path)
    async with serving(things.api, tmp_path) as client:
        await make(client, headers={"Idempotency-Key": "very-secret-key"})
    await engine.open(drive=False)
    (record,) = await engine.store.get_records(KIND)
    await engine.close()

    assert "very-secret-key" not in repr(record)
    assert record.data["state"] == "completed"
    assert record.data["fingerprint"] == fingerprint_of(b"", b'{"name":"a"}')


async def test_stream_is_not_kept_but_made_again(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "runs.db"))
    await store.open()
    once = Once(store, SetClock())
    keys: list[str] = []

    async def streams(start_key: str) -> Response:
        keys.append(start_key)
        response = Response()
        del response.body
        return response

    for _ in range(2):
        await once.answer("id", "same", streams)
    with pytest.raises(KeyReusedError):
        await once.answer("id", "other", streams)

    assert len(keys) == 2
    assert keys[0] == keys[1]
    await store.close()


async def test_whoever_loses_the_race_for_a_record_takes_the_answer_of_the_winner(tmp_path: Path) -> None:
    store, clock = SqliteStore(str(tmp_path / "runs.db")), SetClock()
    await store.open()
    nodes = [Once(store, clock), Once(store, clock)]

    async def works(_start_key: str) -> Response:
        return await created()

    answers = [await node.answer("id", "same", works) for node in nodes]
    records: list[Record] = await store.get_records(KIND)
    found: list[Any] = [answer.headers.get("idempotency-replayed") for answer in answers]

    assert (len(records), found) == (1, [None, "true"])
    await store.close()
