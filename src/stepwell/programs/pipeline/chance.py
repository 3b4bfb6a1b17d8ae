"""The randomness of one execution: the same each time that it is run, and another one for each execution.

It is BLAKE2b (RFC 7693) of the run's seed, the execution and a counter. Python's own generator would do as well, but
seeding one costs more than all that a message of a few fields draws from it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

Seed = blake2b
"""A run's seed, hashed already: each execution goes on from a copy."""
BLOCK: Final = 128
"""Hexadecimal digits of one hash."""
BLOCK_BITS: Final = 64
"""Of the number of a block within its execution."""
_FLOAT_DIGITS: Final = 13
_UNIT: Final = 2.0 ** (-4 * _FLOAT_DIGITS)
_FEW: Final = 1 << 32
"""Of so many integers, one is chosen by a float: none is noticeably likelier than another."""
_VARIANT: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""The digit of a UUID that begins with the bits 10."""


def seed_of(text: str) -> Seed:
    """A seed, to be computed once for all executions of a run."""
    return blake2b(text.encode("utf-8", "surrogatepass"), person=b"stepwell")


class Chance(msgspec.Struct, gc=False):
    """`Chance(seed, index << BLOCK_BITS)` for the execution of that number."""

    _seed: Seed
    _block: int
    """The number of the next block."""
    _digits: str = ""
    """The newest of them."""
    _at: int = BLOCK

    def digits(self, count: int) -> str:
        """So many random hexadecimal digits, at most a block of them. They are text since most become UUIDs."""
        end = self._at + count
        if end > BLOCK:
            block = self._seed.copy()
            block.update(self._block.to_bytes(16, "little"))
            self._block += 1
            self._digits, end = block.hexdigest(), count
        self._at = end
        return self._digits[end - count : end]

    def flag(self) -> bool:
        """True or false."""
        return self.digits(1) > "7"

    def fraction(self) -> float:
        """From 0 up to but without 1."""
        return int(self.digits(_FLOAT_DIGITS), 16) * _UNIT

    def below(self, count: int) -> int:
        """An integer from 0 up to but without `count`."""
        if count > _FEW:
            return int(self.digits(32), 16) % count
        return int(int(self.digits(_FLOAT_DIGITS), 16) * _UNIT * count)

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
        text = self.digits(32)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"
