"""Ids: UUIDv7 for runs (time-ordered, so that indexes grow at their end), UUIDv5 for what a run derives."""

import hashlib
import os
import re
import uuid
from functools import lru_cache
from typing import Final

_WORKFLOWS: Final = uuid.UUID("2f0c1c6e-8f0b-5f3e-9a53-6f0a4a1f7d21")
"""The namespace of workflow names."""
_CANONICAL: Final = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")  # RFC 9562 §4


def new_id(now: float) -> str:
    """A UUIDv7 (RFC 9562 §5.7) of the instant `now`, in seconds since the epoch."""
    return _uuid7(now, os.urandom(10))


def seeded_id(at: float, seed: str) -> str:
    """A UUIDv7 of the instant `at`, the same for the same seed."""
    return _uuid7(at, hashlib.blake2b(seed.encode(), digest_size=10).digest())


def _uuid7(at: float, tail: bytes) -> str:
    stamp = int(at * 1000) & (1 << 48) - 1
    random = int.from_bytes(tail, "big")
    value = stamp << 80 | 7 << 76 | (random >> 68 & 0xFFF) << 64 | 2 << 62 | random & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(run_id: str, key: str) -> str:
    """UUIDv5 of `key` under the run: the same whenever it is asked for. Written out: each answer has some."""
    text = hashlib.sha1(_bytes_of(run_id) + key.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]  # RFC 9562 §4.1
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


@lru_cache(1024)  # one after the other for the same run
def _bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


@lru_cache(4096)
def workflow_uuid(name: str) -> str:
    """A workflow's UUID: its name where that is one, else the UUIDv5 of the name."""
    return canonical_uuid(name) or str(uuid.uuid5(_WORKFLOWS, name))


def canonical_uuid(text: str) -> str | None:
    """A UUID in its usual form of 36 characters, in lower case; None for other texts (`UUID` takes many more)."""
    return text.lower() if _CANONICAL.fullmatch(text) else None
