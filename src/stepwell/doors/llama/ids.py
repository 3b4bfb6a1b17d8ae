"""Handler ids: ten letters and digits that stand for a run. Pure.

They are made of the first 59 bits of the run's UUIDv7 that count (42 of its milliseconds, 17 of its randomness). A
run that starts here gets an id whose rest follows from these: its handler id leads to it without looking anything up.
Of other runs it leads to the start of their ids; should two have the same, only their whole ids tell them apart.
"""

import hashlib
import os
import uuid
from typing import Final

LENGTH: Final = 10
_SIGNS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_BITS: Final = 17
_TIME_BITS: Final = 42  # until the year 2109


def handler_id_of(run_id: str) -> str:
    """The handler id of a run; its whole id where that is no UUIDv7."""
    value = uuid.UUID(run_id)
    if value.version != 7 or value.int >> 80 >> _TIME_BITS:
        return run_id
    number = value.int >> 80 << _RANDOM_BITS | (value.int >> 64 & 0xFFF) << 5 | value.int >> 57 & 0x1F
    signs = ""
    for _ in range(LENGTH):
        number, sign = divmod(number, len(_SIGNS))
        signs = _SIGNS[sign] + signs
    return signs


def new_handler_id(now: float) -> str:
    """A fresh one; `now` in seconds since the epoch."""
    random = int.from_bytes(os.urandom(3), "big") & (1 << _RANDOM_BITS) - 1
    return handler_id_of(_run_id(int(now * 1000) & (1 << _TIME_BITS) - 1, random, b""))


def run_id_of(handler_id: str) -> str | None:
    """The id of the run that this one was made for; None when it is no handler id of ours."""
    found = _parts(handler_id)
    return None if found is None else _run_id(*found, handler_id.encode())


def beginning_of(handler_id: str) -> str | None:
    """How the ids of all runs begin that may have it."""
    found = _parts(handler_id)
    return None if found is None else _run_id(*found, b"")[:18]


def _parts(handler_id: str) -> tuple[int, int] | None:
    """Milliseconds and random bits."""
    if len(handler_id) != LENGTH or not all(sign in _SIGNS for sign in handler_id):
        return None
    number = 0
    for sign in handler_id:
        number = number * len(_SIGNS) + _SIGNS.index(sign)
    milliseconds, random = number >> _RANDOM_BITS, number & (1 << _RANDOM_BITS) - 1
    return None if milliseconds >> _TIME_BITS else (milliseconds, random)


def _run_id(milliseconds: int, random: int, seed: bytes) -> str:
    rest = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big") & (1 << 57) - 1
    value = milliseconds << 80 | 7 << 76 | random >> 5 << 64 | 2 << 62 | (random & 0x1F) << 57 | rest
    return str(uuid.UUID(int=value))
