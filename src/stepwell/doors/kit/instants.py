"""Instants in text."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def instant(at: float) -> str: ...


@overload
def instant(at: float | None) -> str | None: ...


def instant(at: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, UTC, milliseconds; None stays None."""
    return None if at is None else _text(at)


@lru_cache(4096)  # what happens to a run happens at few instants, each of which stands at several places
def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
