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
    if at is None:
        return None
    second = int(at)
    more, micros = divmod(round((at - second) * 1e6), 1_000_000)  # as `datetime` does it
    return f"{_second(second + more)}.{micros // 1000:03d}Z"


@lru_cache(1024)  # what happens to a run happens within few seconds
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]
