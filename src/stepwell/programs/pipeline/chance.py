"""The randomness of one execution: the same each time that it is run, and another one for each execution.

It is BLAKE2b (RFC 7693) of the run's seed, the execution and a counter. Python's own generator would do as well, but
seeding one costs more than all that a message of a few fields draws from it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

Seed = blake2b
"""A run's seed, hashed already: each execution goes on from a copy."""
BLOCK_BITS: Final = 512
_FLOAT_BITS: Final = 53
_UNIT: Final = 2.0**-_FLOAT_BITS
_FEW: Final = 1 << 32
"""Of so many integers, one is chosen by a float: none is noticeably likelier than another."""
_VERSION: Final = ~(0xF << 76) & ~(0x3 << 62) & (1 << 128) - 1
_VERSION_4: Final = (4 << 76) | (2 << 62)


def seed_of(text: str) -> Seed:
    """A seed, to be computed once for all executions of a run."""
    return blake2b(text.encode("utf-8", "surrogatepass"), person=b"stepwell")


class Chance:
    """`index` is the number of the execution."""

    __slots__ = ("_base", "_bits", "_count", "_index", "_left")

    def __init__(self, seed: Seed, index: int) -> None:
        self._base = seed
        self._index = index
        self._count = 0
        self._bits = 0
        self._left = 0

    def bits(self, count: int) -> int:
        """So many random bits, at most a block of them."""
        if count > self._left:
            block = self._base.copy()
            block.update(b"%d/%d" % (self._index, self._count))
            self._count += 1
            self._bits, self._left = int.from_bytes(block.digest(), "little"), BLOCK_BITS
        found = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return found

    def fraction(self) -> float:
        """From 0 up to but without 1."""
        return self.bits(_FLOAT_BITS) * _UNIT

    def below(self, count: int) -> int:
        """An integer from 0 up to but without `count`."""
        return int(self.fraction() * count) if count <= _FEW else self.bits(128) % count

    def between(self, low: int, high: int) -> int:
        """An integer, both ends included."""
        return low + self.below(high - low + 1)

    def weighted(self, options: Sequence[Any], sums: Sequence[int]) -> Any:
        """An option with a chance by its weight; `sums` are those of the weights up to each."""
        return options[bisect_right(sums, self.below(sums[-1]))]

    def shuffled(self, values: Sequence[Any]) -> list[Any]:
        """All of the values in another order (Fisher and Yates)."""
        found = list(values)
        for last in range(len(found) - 1, 0, -1):
            other = self.below(last + 1)
            found[last], found[other] = found[other], found[last]
        return found

    def uuid(self) -> str:
        """A version 4 UUID (RFC 9562 §5.4)."""
        text = f"{self.bits(128) & _VERSION | _VERSION_4:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
