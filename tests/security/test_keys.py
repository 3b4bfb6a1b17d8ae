"""API keys, in a real store."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.core.errors import StorageUnavailableError
from stepwell.security.keys import KIND, USED_EVERY_S, ApiKey, ApiKeys, new_key
from stepwell.security.refusals import AccessError, Reason
from stepwell.store.model import Record
from stepwell.store.sqlite.store import SqliteStore

from .tokens import NOW


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    found = SqliteStore(str(tmp_path / "keys.db"))
    await found.open()
    yield found
    await found.close()


async def made(keys: ApiKeys[Record], **rest: Any) -> tuple[ApiKey, str]:
    key, text = new_key("ci", now=NOW, **rest)
    assert await keys.create(key)
    return key, text


async def reason_of(keys: ApiKeys[Record], text: str, now: float = NOW) -> Reason:
    with pytest.raises(AccessError) as refused:
        await keys.verify(text, now)
    return refused.value.refusal.reason


async def test_key_stands_for_its_owner(store: SqliteStore) -> None:
    keys = ApiKeys(store, row=Record)
    key, text = await made(keys, owner="ada", roles=("finance",), organisations=("acme",), scopes=("read",))
    found = await keys.verify(text, NOW)
    assert (found.type, found.id, found.owner, found.sees) == ("api_key", "ada", "ada", "ada")
    assert (found.roles, found.organisations, found.scopes) == (("finance",), ("acme",), ("read",))
    assert (found.display, found.credential) == ("ci", key.id)


async def test_key_without_an_owner_acts_for_its_own_name_never_for_nobody() -> None:
    assert new_key("ci", now=NOW)[0].owner == "ci"


async def test_only_the_hash_is_stored(store: SqliteStore) -> None:
    key, text = await made(ApiKeys(store, row=Record))
    (record,) = await store.get_records(KIND)
    assert record.data["digest"] == hashlib.sha256(text.encode()).hexdigest()
    assert text.rpartition("_")[2] not in str(record)
    assert text.startswith(f"ap_{key.id}_")


async def test_keys_differ() -> None:
    assert len({new_key("ci", now=NOW)[1] for _ in range(100)}) == 100


async def test_wrong_keys_are_unknown(store: SqliteStore) -> None:
    keys = ApiKeys(store, row=Record)
    key, text = await made(keys)
    _, other = new_key("ci", now=NOW)
    secret = text.removeprefix(f"ap_{key.id}_")
    wrong = [
        "", "ap_", text[:-1], text + "A", text.upper(), f" {text}", f"{text}\n", other, secret, key.id, key.digest,
        text[:-1] + ("A" if text[-1] != "A" else "B"), f"ap_{key.id}_", f"ap_{key.id}_{'A' * 43}",
        f"ap_{key.id}_{key.digest}", f"ap_{'0' * 16}_{secret}", f"ap_%_{secret}", f"sk_{key.id}_{secret}",
        text.replace("_", "-", 1), "ключ",
    ]  # fmt: skip
    assert {await reason_of(keys, one) for one in wrong} == {Reason.API_KEY_INVALID}


async def test_expired_key_is_refused_from_its_instant_on(store: SqliteStore) -> None:
    keys = ApiKeys(store, row=Record)
    _, text = await made(keys, expires_at=NOW + 60)
    await keys.verify(text, NOW + 59)
    assert await reason_of(keys, text, NOW + 60) is Reason.API_KEY_EXPIRED


async def test_revoked_key_is_refused_at_once_by_every_server(store: SqliteStore) -> None:
    here, elsewhere = ApiKeys(store, row=Record), ApiKeys(store, row=Record)
    key, text = await made(here)
    await elsewhere.verify(text, NOW)
    revoked = await here.revoke(key.id, NOW + 1)
    assert revoked is not None
    assert revoked.state(NOW + 1) == "revoked"
    assert await reason_of(elsewhere, text, NOW + 1) is Reason.API_KEY_REVOKED


async def test_revoking_twice_keeps_the_first_instant(store: SqliteStore) -> None:
    keys = ApiKeys(store, row=Record)
    key, _ = await made(keys)
    await keys.revoke(key.id, NOW)
    again = await keys.revoke(key.id, NOW + 99)
    assert again is not None
    assert again.revoked_at == NOW


async def test_unknown_key_cannot_be_revoked(store: SqliteStore) -> None:
    assert await ApiKeys(store, row=Record).revoke("0" * 16, NOW) is None


async def test_use_is_noted_once_a_minute(store: SqliteStore) -> None:
    keys = ApiKeys(store, row=Record)
    _, text = await made(keys)
    for at in (NOW, NOW + 1, NOW + USED_EVERY_S - 1):
        await keys.verify(text, at)
    (record,) = await store.get_records(KIND)
    assert (record.version, record.data["last_used_at"]) == (2, NOW)
    await keys.verify(text, NOW + USED_EVERY_S)
    assert (await keys.list())[0].last_used_at == NOW + USED_EVERY_S


class _RevokedMeanwhile:
    """A store in which the key is revoked between the reading of it and the note of its use."""

    def __init__(self, store: SqliteStore, id: str) -> None:
        self._store = store
        self._id = id

    async def get_records(self, kind: str, *, id: str = "", limit: int = 1000) -> list[Record]:
        return await self._store.get_records(kind, id=id, limit=limit)

    async def put_record(self, record: Record, *, expect_version: int | None = None) -> bool:
        await ApiKeys(self._store, row=Record).revoke(self._id, NOW)
        return await self._store.put_record(record, expect_version=expect_version)


async def test_noting_a_use_never_undoes_a_revocation(store: SqliteStore) -> None:
    key, text = await made(ApiKeys(store, row=Record))
    await ApiKeys(_RevokedMeanwhile(store, key.id), row=Record).verify(text, NOW)
    assert await reason_of(ApiKeys(store, row=Record), text) is Reason.API_KEY_REVOKED


class _ReadOnly:
    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def get_records(self, kind: str, *, id: str = "", limit: int = 1000) -> list[Record]:
        return await self._store.get_records(kind, id=id, limit=limit)

    async def put_record(self, record: Record, *, expect_version: int | None = None) -> bool:
        raise StorageUnavailableError(f"disk full ({record.kind}, {expect_version})")


async def test_key_works_while_the_store_only_reads(store: SqliteStore) -> None:
    _, text = await made(ApiKeys(store, row=Record))
    assert (await ApiKeys(_ReadOnly(store), row=Record).verify(text, NOW)).id == "ci"


async def test_any_key_ever_made_means_that_authentication_is_wanted(store: SqliteStore) -> None:
    keys = ApiKeys(store, row=Record)
    assert not await keys.exist()
    key, _ = await made(keys)
    await keys.revoke(key.id, NOW)
    assert await keys.exist()


async def test_taken_id_is_not_overwritten(store: SqliteStore) -> None:
    keys = ApiKeys(store, row=Record)
    key, text = await made(keys)
    assert not await keys.create(key)
    assert (await keys.verify(text, NOW)).id == "ci"
