"""`stepwell keys`, as its functions print it."""

import json
from pathlib import Path
from typing import Any

import pytest

from stepwell.cli import keys as command
from stepwell.cli.options import Where
from stepwell.core.errors import InvalidInputError, StorageError
from stepwell.security.keys import ApiKeys, new_key
from stepwell.security.refusals import AccessError
from stepwell.store.model import Record
from stepwell.store.sqlite.store import SqliteStore

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Where:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEPWELL_DB", raising=False)
    return Where(db=f"sqlite:///{tmp_path}/keys.db")


def created(where: Where, capture: Captured, **options: Any) -> Any:
    command.create("ci", json=True, where=where, **options)
    return json.loads(capture.readouterr().out)


async def verify(where: Where, text: str, now: float) -> str:
    store = SqliteStore(str(where.db).removeprefix("sqlite:///"))
    await store.open()
    try:
        return (await ApiKeys(store, row=Record).verify(text, now)).owner
    finally:
        await store.close()


def test_key_is_shown_once_and_works(where: Where, capsys: Captured) -> None:
    command.create("ci", where=where)
    out, err = capsys.readouterr()
    text = out.strip()
    assert text.startswith("ap_")
    assert "not shown again" in err
    assert "it is the first" in err
    command.list_keys(json=True, where=where)
    listed = capsys.readouterr().out
    assert text.rpartition("_")[2] not in listed
    assert "digest" not in listed


async def test_made_key_verifies(tmp_path: Path) -> None:
    where = Where(db=f"sqlite:///{tmp_path}/keys.db")
    made, text = new_key("ci", now=0.0)
    async with command._created_store(where) as store:
        await ApiKeys(store, row=Record).create(made)
    assert await verify(where, text, 1.0) == "ci"


def test_options_are_kept(where: Where, capsys: Captured) -> None:
    rest: dict[str, Any] = {"role": ("finance",), "organisation": ("acme",), "expires_in": "1d"}
    found = created(where, capsys, owner="ada", scope=("read",), **rest)
    assert (found["owner"], found["scopes"], found["roles"], found["organisations"]) == (
        "ada",
        ["read"],
        ["finance"],
        ["acme"],
    )
    assert found["expires_at"] > found["created_at"]
    assert found["state"] == "active"


def test_revoked_key_is_listed_as_such(where: Where, capsys: Captured) -> None:
    made = created(where, capsys)
    command.revoke(made["id"], where=where)
    assert "is revoked" in capsys.readouterr().err
    command.list_keys(json=True, where=where)
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["state"], listed["revoked_at"] is not None) == ("revoked", True)
    command.list_keys(where=where)
    assert "revoked" in capsys.readouterr().out


async def test_revoked_key_does_not_verify(tmp_path: Path) -> None:
    where = Where(db=f"sqlite:///{tmp_path}/keys.db")
    made, text = new_key("ci", now=0.0)
    async with command._created_store(where) as store:
        await ApiKeys(store, row=Record).create(made)
        await ApiKeys(store, row=Record).revoke(made.id, 1.0)
    with pytest.raises(AccessError):
        await verify(where, text, 2.0)


def test_unknown_key_cannot_be_revoked(where: Where, capsys: Captured) -> None:
    created(where, capsys)
    with pytest.raises(InvalidInputError, match="there is no key"):
        command.revoke("0" * 16, where=where)


def test_listing_makes_no_database(where: Where, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        command.list_keys(where=where)
    assert not (tmp_path / "keys.db").exists()


@pytest.mark.parametrize("text", ["", "0d", "1", "d", "-1d", "1w", "1.5h", "9999999d", "1 d"])
def test_time_that_cannot_be_read_is_refused(text: str, where: Where) -> None:
    with pytest.raises(InvalidInputError, match="--expires-in"):
        command.create("ci", expires_in=text, where=where)


def test_key_that_would_pass_for_a_role_is_refused(where: Where) -> None:
    with pytest.raises(InvalidInputError, match="--role"):
        command.create("role:boss", where=where)
    with pytest.raises(InvalidInputError, match="--role"):
        command.create("ci", owner="role:boss", where=where)


@pytest.mark.parametrize("name", ["", " ", "a\nb", " a", "a" * 256])
def test_name_that_cannot_be_shown_is_refused(name: str, where: Where) -> None:
    with pytest.raises(InvalidInputError):
        command.create(name, where=where)
    with pytest.raises(InvalidInputError):
        command.create("ci", owner=name, where=where)
