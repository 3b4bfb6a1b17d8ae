"""Limits of workflows, as text and as records: `report=2` (driven at once) and `report=100/m` (begun in a time)."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """`at_once`: how many runs are driven at a time. `every_s`: seconds from the beginning of one to the next."""

    at_once: int | None = None
    every_s: float | None = None


def read_limits(texts: Iterable[str]) -> dict[str, Limit]:
    """Texts of this form as limits by workflow; of two of a kind the last one holds."""
    limits: dict[str, Limit] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        before = limits.get(name, Limit())
        if rate := re.fullmatch(r"(\d+)/([smhd])", number):
            limits[name] = msgspec.structs.replace(before, every_s=_SECONDS[rate[2]] / int(rate[1]))
        else:
            limits[name] = msgspec.structs.replace(before, at_once=int(number))
    return limits
