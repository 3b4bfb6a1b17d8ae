"""Which databases the settings name, and who drives their runs: one process on SQLite, many nodes on PostgreSQL."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stepwell.core.errors import StorageError
from stepwell.dispatch.limits import read_limits
from stepwell.dispatch.local import LocalDispatch
from stepwell.dispatch.port import Dispatch
from stepwell.dispatch.spread import SpreadDispatch
from stepwell.files import Files, FolderFiles
from stepwell.files.spread import SpreadFiles
from stepwell.settings import Settings, SettingsError
from stepwell.store.port import Store
from stepwell.store.spread import SpreadStore
from stepwell.store.sqlite.store import SqliteStore, store_for

if TYPE_CHECKING:
    from stepwell.dispatch.pgqueuer import PgQueuerJobs
    from stepwell.store.postgres import PostgresStore

POSTGRES: Final = ("postgresql://", "postgres://")


def is_postgres(url: str) -> bool:
    """Whether a database URL names a PostgreSQL server."""
    return url.startswith(POSTGRES)


def store_of(settings: Settings, *, now: Callable[[], float] | None = None) -> Store:
    """The store that the settings name, not open yet; `now` is the clock it is compared with, where it has its own.

    Raises `StorageError`.
    """
    urls = _urls(settings)
    if not is_postgres(settings.db):
        return store_for(settings.db)
    stores = [_postgres(url, settings, now, (place, len(urls))) for place, url in enumerate(urls)]
    return stores[0] if len(stores) == 1 else SpreadStore(stores)


def _urls(settings: Settings) -> tuple[str, ...]:
    """Every database of the settings. Raises `SettingsError`."""
    urls = (settings.db, *settings.more_dbs)
    if settings.more_dbs and not all(map(is_postgres, urls)):
        raise SettingsError("more_dbs is set: expected postgresql:// in db and in each of them")
    if len(set(urls)) < len(urls):
        raise SettingsError("more_dbs: expected other databases than db, each once")
    return urls


def dispatch_of(store: Store, settings: Settings) -> Dispatch:
    """Who drives the runs of a store."""
    if not store.shared:
        return LocalDispatch(max_active=settings.max_active)
    if isinstance(store, SpreadStore):
        most = max(1, settings.max_active // store.places)
        dispatches = [
            _queue_of(url, one, settings, most) for url, one in zip(_urls(settings), store.stores, strict=True)
        ]
        return SpreadDispatch(dispatches, store.place_of)
    return _queue_of(settings.db, store, settings, settings.max_active)


def _queue_of(url: str, store: Store, settings: Settings, max_active: int) -> Dispatch:
    from stepwell.dispatch.pgqueuer import PgQueuerDispatch

    return PgQueuerDispatch(
        url,
        jobs=_jobs(settings),
        hand_out=store.hand_out,
        hand_over=store.hand_over,
        max_active=max_active,
        dead_after_s=settings.dead_after_s,
    )


def file_of(store: Store) -> Path | None:
    """The database file; None for one in memory, or on a server."""
    path = store.path if isinstance(store, SqliteStore) else ":memory:"
    return None if path == ":memory:" or path.startswith("file:") else Path(path)


def files_of(settings: Settings, store: Store) -> Files | None:
    """Where files of runs are kept: in a folder, by default beside the database's file, or in PostgreSQL itself."""
    if settings.files_dir:
        return FolderFiles(Path(settings.files_dir))
    if is_postgres(settings.db):
        from stepwell.files.database import DatabaseFiles

        files = [DatabaseFiles(url) for url in _urls(settings)]
        return SpreadFiles(files, store.place_of) if isinstance(store, SpreadStore) else files[0]
    path = file_of(store)
    return FolderFiles(Path(f"{path}.files")) if path is not None else None


def _postgres(
    url: str, settings: Settings, now: Callable[[], float] | None, place: tuple[int, int]
) -> "PostgresStore":
    try:  # here, since it brings asyncpg and PgQueuer (0.3 s), which not everybody has
        from stepwell.store.postgres import PostgresStore
    except ModuleNotFoundError as fault:
        raise StorageError(
            f"{fault.name} is not installed, without which there is no PostgreSQL: pip install 'stepwell[postgres]'"
        ) from None
    return PostgresStore(url, jobs=_jobs(settings), now=now, place=place)


def _jobs(settings: Settings) -> "PgQueuerJobs":
    from stepwell.dispatch.pgqueuer import PgQueuerJobs

    return PgQueuerJobs(read_limits(settings.workflow_limits))


def bytes_of(path: Path | None) -> int | None:
    """What a database file takes on disk, with what is still in its log; None where there is no file."""
    files = [path, path.with_name(f"{path.name}-wal")] if path is not None else []
    return sum(file.stat().st_size for file in files if file.exists()) if files else None
