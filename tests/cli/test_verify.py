"""`stepwell runs verify`: what it says, and its exit code."""

import json

import apsw
import pytest

from . import documents
from .conftest import Inside


def ran(inside: Inside) -> str:
    """The id of a run that completed."""
    inside.write("flow.yaml", documents.GREET)
    done = inside.run("run", "flow.yaml")
    assert done.code == 0, done.err
    listed = json.loads(inside.run("runs", "list", "--json").out)
    return str(listed[0]["id"])


@pytest.mark.parametrize("key", ["", "a key of the operator"])
def test_a_run_that_nobody_touched_exits_0(inside: Inside, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("STEPWELL_AUDIT_CHAIN", "true")
    monkeypatch.setenv("STEPWELL_AUDIT_KEY", key)
    run_id = ran(inside)
    found = inside.run("runs", "verify", run_id)
    assert found.code == 0
    assert found.out.startswith("ok: events 1 to ")
    assert "sha256:" in found.out


def test_a_run_that_was_changed_exits_1_and_names_the_event(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_AUDIT_CHAIN", "true")
    run_id = ran(inside)
    disk = apsw.Connection(str(inside.folder / "stepwell.db"))
    disk.execute("UPDATE history SET events = CAST(replace(events, '\"at\":1', '\"at\":2') AS BLOB) WHERE seq = 1")
    disk.close()
    found = inside.run("runs", "verify", run_id)
    assert (found.code, found.out.strip()) == (1, "not verified: event 1: the hash does not fit the events")
    as_json = inside.run("runs", "verify", run_id, "--json")
    assert (as_json.code, json.loads(as_json.out)["at"]) == (1, 1)


def test_a_run_of_a_server_without_the_setting_exits_1(inside: Inside) -> None:
    run_id = ran(inside)
    found = inside.run("runs", "verify", run_id)
    assert (found.code, found.out.strip()) == (1, "not verified: no event of it was chained")


def test_a_run_that_is_not_there_is_said_to_be_none(inside: Inside) -> None:
    ran(inside)
    found = inside.run("runs", "verify", "01900000-0000-7000-8000-00000000000a")
    assert found.code == 2
    assert "there is no run" in found.err
