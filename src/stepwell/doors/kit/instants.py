"""Instants in text."""

from datetime import UTC, datetime
from typing import overload


@overload
def instant(at: float) -> str: ...


@overload
def instant(at: float | None) -> str | None: ...


def instant(at: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, UTC, milliseconds; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
