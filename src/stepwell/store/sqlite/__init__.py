"""The store on SQLite: one file, one writer, readers beside it."""

from stepwell.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
