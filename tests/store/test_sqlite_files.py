"""SQLite files that cannot be used: each gives one sentence that says what, where and what to do."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.store.model import NAME_LABEL, STEADY, Committed, CountQuery, Record, RunQuery
from stepwell.store.sql import migrations
from stepwell.store.sqlite import SqliteStore
from stepwell.store.sqlite.connection import APPLICATION_ID, connect
from stepwell.store.sqlite.store import INLINE_BATCHES, store_for

from .batches import DAY, T0, append, create, creation, ids, row_of


async def _made(path: Path) -> None:
    store = SqliteStore(str(path))
    await store.open()
    await create(store, *(creation(f"r{n}", at=T0 + n) for n in range(200)))
    await store.close()


def _text_file(path: Path) -> None:
    path.write_text("this is a letter to my aunt\n" * 100)


def _foreign(path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE birds (name TEXT)")
    other.close()


def _newer(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 999")
    connection.close()


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _header_torn(path: Path) -> None:
    path.write_bytes(b"\0" * 50 + path.read_bytes()[50:])


async def _use(store: SqliteStore) -> None:
    await store.open()
    await store.list_runs(RunQuery(limit=1000))


UNUSABLE: list[tuple[str, bool, Callable[[Path], None], str]] = [
    ("a text file", False, _text_file, "is no SQLite database: name another file with --db"),
    ("another program's", False, _foreign, "is a database of another program: name another file with --db"),
    ("a newer version's", True, _newer, "was written by a newer Stepwell (schema 999"),
    ("a torn one", True, _torn, "is damaged"),
    ("one with a torn header", True, _header_torn, "is no SQLite database"),
    ("a folder", False, lambda path: path.mkdir(), "is a folder: name a file with --db"),
]


@pytest.mark.parametrize(("name", "ours", "spoil", "sentence"), UNUSABLE, ids=[row[0] for row in UNUSABLE])
async def test_file_that_cannot_be_used_is_refused_with_a_sentence(
    tmp_path: Path, name: str, ours: bool, spoil: Callable[[Path], None], sentence: str
) -> None:
    path = tmp_path / "runs.db"
    if ours:
        await _made(path)
    spoil(path)
    store = SqliteStore(str(path))
    with pytest.raises(StorageError) as caught:
        await _use(store)
    await store.close()
    assert sentence in str(caught.value), name
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere does not exist: create it"):
        await SqliteStore(str(tmp_path / "nowhere" / "runs.db")).open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
async def test_read_only_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await _made(path)
    path.chmod(0o444)
    with pytest.raises(StorageError, match="cannot be written: make the file and its folder writable"):
        await SqliteStore(str(path)).open()


async def test_database_that_becomes_read_only_refuses_writes_and_goes_on_reading(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await _made(path)
    store = SqliteStore(str(path))
    await store.open()
    store._writing.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageUnavailableError, match="cannot be written"):
        await store.commit([creation("new")])
    assert len(await store.list_runs(RunQuery(limit=5))) == 5
    store._writing.execute("PRAGMA query_only = 0")
    await create(store, creation("new"))
    await store.close()


async def test_locked_database_is_said_to_be_locked(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await _made(path)
    store = SqliteStore(str(path))
    await store.open()
    store._writing.set_busy_timeout(10)
    other = connect(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError, match=r"another process keeps the database .* locked"):
        await store.commit([creation("new")])
    assert len(await store.list_runs(RunQuery(limit=5))) == 5
    other.execute("ROLLBACK")
    await create(store, creation("new"))
    other.close()
    await store.close()


async def test_failed_group_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The disk fails in the middle of a transaction: no run of the group is there."""
    store = SqliteStore(str(tmp_path / "runs.db"))
    await store.open()
    store._writing.execute("PRAGMA max_page_count = 60")
    with pytest.raises(StorageUnavailableError, match="is full: free some space"):
        await store.commit([creation(f"r{n}", labels={"big": "x" * 2000}) for n in range(200)])
    assert await store.list_runs(RunQuery()) == []
    store._writing.execute("PRAGMA max_page_count = 100000")
    (run,) = await create(store, creation("a"))
    await store.commit([append(run, "a", 1)])
    await store.close()


CHILD = """
import asyncio, sys
sys.path[:0] = sys.argv[2:]
from stepwell.store.sqlite import SqliteStore
from store.batches import creation, create
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    await create(store, creation("from-outside"))
    await store.close()
asyncio.run(main())
"""


async def test_commit_of_another_process_is_seen(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    store = SqliteStore(path)
    await store.open()
    await create(store, creation("a"))
    tests = str(Path(__file__).parent.parent)
    subprocess.run([sys.executable, "-c", CHILD, path, tests], check=True, timeout=30)  # noqa: ASYNC221
    assert "from-outside" in (await store.changed_outside() or ())
    assert ids(await store.list_runs(RunQuery())) == ["from-outside", "a"]
    await store.close()


async def test_two_processes_may_create_the_same_new_database(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    first, second = SqliteStore(path), SqliteStore(path)
    await first.open()
    await second.open()
    await create(first, creation("a"))
    assert ids(await second.list_runs(RunQuery())) == ["a"]
    await first.close()
    await second.close()


@pytest.mark.parametrize("url", ["runs.db", "sqlite:runs.db", "sqlite:///", "postgres:///x", ""])
def test_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="is no database URL"):
        store_for(url)


def test_url_names_a_relative_or_an_absolute_file() -> None:
    assert store_for("sqlite:///runs.db").path == "runs.db"
    assert store_for("sqlite:////var/runs.db").path == "/var/runs.db"


async def test_database_of_the_first_schema_is_brought_forward(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = connect(str(path))
    old.execute(migrations("sqlite")[0][1])
    old.execute(f"PRAGMA user_version = 1; PRAGMA application_id = {APPLICATION_ID}")
    rows = [
        row_of(f"r{n}", at=T0 + n * 40_000, owner="ann", labels={NAME_LABEL: "Intake"} if n % 2 else {}, seq=1)
        for n in range(6)
    ]
    for row in rows:
        old.execute(
            "INSERT INTO run (uuid, created_at, shown, seq, live, status, owner, workflow, step, attempts, "
            "definition) VALUES (?, ?, ?, 1, 0, 'running', 'ann', 'order', '', 0, 'd')",
            (row.run_id, row.created_at, msgspec.json.encode(row).decode()),
        )
    old.close()
    store = SqliteStore(str(path))
    await store.open()
    await create(store, creation("new", owner="ann"))
    assert await store.count_runs(CountQuery(owner="ann")) == {("order", "running"): 7}
    assert await store.count_runs(CountQuery(named="intake")) == {("order", "running"): 3}
    assert sum((await store.count_runs(CountQuery(to_day=DAY))).values()) == 2
    assert await store.list_runs(RunQuery(workflows=("order",), named="Intake")) == rows[5::-2]
    await store.close()


async def test_commit_of_another_process_is_seen_while_our_writer_is_busy(tmp_path: Path) -> None:
    ours, theirs = SqliteStore(str(tmp_path / "a.db")), SqliteStore(str(tmp_path / "a.db"))
    await ours.open()
    await theirs.open()
    await create(theirs, creation("from-outside"))
    busy = asyncio.create_task(ours.commit([creation(f"r{n}") for n in range(INLINE_BATCHES + 1)]))
    await asyncio.sleep(0)
    assert not busy.done(), "it is being written"
    assert "from-outside" in (await ours.changed_outside() or ())
    await busy
    await ours.close()
    await theirs.close()


async def test_write_that_nobody_waits_for_any_more_is_in_nobodys_way(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "a.db"))
    await store.open()
    (run,) = await create(store, creation("a"))
    store._inline = True  # as on a disk whose flushes are quick
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(connection: apsw.Connection) -> None:  # noqa: ARG001  # it is the writer's
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)

    given_up = asyncio.create_task(store._on_writer(store._in_transaction, work))
    await begun.wait()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    committed = asyncio.create_task(store.commit([append(run, "a", 1)]))
    await asyncio.sleep(0)
    go_on.set()
    assert await committed == [Committed(run)]
    await store.close()


async def test_large_values_are_not_kept_in_memory(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "a.db"))
    await store.open()
    before = apsw.status(apsw.SQLITE_STATUS_MEMORY_USED)[0]
    for number in (127, 63):
        large = [creation(f"{number}/{n}") for n in range(number)]
        for batch in large:
            batch.events = b'[{"type":"SnapshotTaken","at":1,"label":"' + b"x" * 500_000 + b'"}]'
        await create(store, *large)
    grown = apsw.status(apsw.SQLITE_STATUS_MEMORY_USED)[0] - before
    assert grown < 30_000_000, "less than half of one group: pages of the cache"
    await store.close()


async def test_record_kept_in_memory_is_read_again_when_anybody_wrote_it(tmp_path: Path) -> None:
    ours, theirs = SqliteStore(str(tmp_path / "a.db")), SqliteStore(str(tmp_path / "a.db"))
    await ours.open()
    await theirs.open()
    kind = STEADY[0]
    for version in (1, 2):
        await ours.put_record(Record(kind=kind, id="a", data={}, version=version), expect_version=version - 1)
        assert [record.version for record in await ours.get_records(kind, id="a")] == [version]
    await theirs.put_record(Record(kind=kind, id="a", data={}, version=3), expect_version=2)
    assert await ours.changed_outside() is not None
    assert [record.version for record in await ours.get_records(kind, id="a")] == [3]
    await theirs.drop_record(kind, "a")
    assert not await ours.put_record(Record(kind=kind, id="a", data={}, version=4), expect_version=3)
    assert await ours.get_records(kind, id="a") == [], "who lost reads what stands there now"
    await ours.close()
    await theirs.close()
