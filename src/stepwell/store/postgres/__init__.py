"""The store on PostgreSQL: one database for many nodes."""

from stepwell.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
