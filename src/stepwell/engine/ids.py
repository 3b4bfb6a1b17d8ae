"""Ids: UUIDv7 for runs (time-ordered, so that indexes grow at their end), UUIDv5 for what a run derives."""

import os
import uuid


def new_id(now: float) -> str:
    """A UUIDv7 (RFC 9562 §5.7) of the instant `now`, in seconds since the epoch."""
    stamp = int(now * 1000) & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10), "big")
    value = stamp << 80 | 7 << 76 | (random >> 68 & 0xFFF) << 64 | 2 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def derived_id(run_id: str, key: str) -> uuid.UUID:
    """UUIDv5 of `key` under the run: the same whenever it is asked for."""
    return uuid.uuid5(uuid.UUID(run_id), key)
