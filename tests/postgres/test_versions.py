"""Nodes of two releases on one database: the newer one migrates it under the feet of the older one."""

import asyncio
from functools import partial
from typing import Any

import pytest

from stepwell.core.errors import NewerHistoryError
from stepwell.core.status import Status
from stepwell.store.postgres import preparing
from stepwell.store.sql import migrations

from .nodes import PATIENCE_S, eventually, fetch, node, nodes, parked
from .server import new_database

NEXT = """
    ALTER TABLE run ADD COLUMN next_release text;
    ALTER TABLE run ADD COLUMN next_number integer NOT NULL DEFAULT 1;
    CREATE TABLE next_table (run bigint PRIMARY KEY REFERENCES run ON DELETE CASCADE);
    CREATE INDEX run_next_release ON run (next_release) WHERE next_release IS NOT NULL;
"""
"""What a migration may do: add."""


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it, and what is opened from then on is of the next release."""
    known = list(migrations("postgres"))

    def release() -> None:
        latest = max(number for number, _ in known)
        monkeypatch.setattr(preparing, "migrations", lambda _: [*known, (latest + 1, NEXT)])

    return release


async def test_nodes_that_start_together_make_the_tables_once() -> None:
    url = new_database()
    apps = [node(url) for _ in range(4)]
    await asyncio.gather(*(app.open() for app in apps))  # each under the lock, one after the other
    try:
        started = [(await app.engine.start("at_once", n)).run_id for n, app in enumerate(apps)]
        for n, run_id in enumerate(started):
            assert (await apps[n - 1].engine.result(run_id, timeout_s=PATIENCE_S)).output == n
    finally:
        for app in apps:
            await app.close()


async def test_nodes_of_two_releases_drive_and_serve_together(next_release: Any) -> None:
    url = new_database()
    async with nodes(node(url)) as (old,):
        before = [(await old.start("waits", n)).run_id for n in range(3)]
        next_release()
        async with nodes(node(url)) as (new,):
            after = [(await engine.start("waits", n)).run_id for engine in (old, new) for n in range(3)]
            for n, run_id in enumerate((*before, *after)):
                engine, other = (old, new) if n % 2 else (new, old)
                await engine.signal(run_id, "go", n)
                assert (await other.result(run_id, timeout_s=PATIENCE_S)).output["data"]["data"] == n
            left = (await new.start("waits", 0)).run_id
        await old.signal(left, "go", 0)  # the newer one is taken back
        assert (await old.result(left, timeout_s=PATIENCE_S)).status is Status.COMPLETED
        assert await old.prune(ended_before=old.clock.now() + 60) == 10


APPEND = """
    WITH ahead AS (UPDATE run SET seq = seq + 1 WHERE uuid = $1 RETURNING id, seq)
    INSERT INTO history (run, seq, count, events) SELECT id, seq, 1, '[{"type": "Unheard", "at": 1.0}]' FROM ahead
"""


async def test_run_that_only_the_newer_release_understands_is_left_to_its_nodes() -> None:
    async with nodes(node(new_database())) as (old,):
        newer, other = [(await old.start("waits", n)).run_id for n in range(2)]
        for run_id in (newer, other):
            await eventually(partial(parked, old, run_id))
        await fetch(old, APPEND, newer)
        for asked in (old.state(newer), old.history(newer), old.signal(newer, "go")):
            with pytest.raises(NewerHistoryError, match="'Unheard'"):
                await asked
        await old.store.hand_out([newer, other])  # in one statement, and taken over in one
        await old.signal(other, "go", 1)
        assert (await old.result(other, timeout_s=PATIENCE_S)).status is Status.COMPLETED
        assert await fetch(old, "SELECT FROM run WHERE uuid = $1 AND live", newer), "it is for others to drive"
