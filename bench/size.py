"""How much of everything."""

from typing import Final

import msgspec


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """`passes` interleaved passes of `rounds` times `runs` runs at once; the others are counts of runs; of pipelines,
    `messages` of a pass and `executions` of one run.
    """

    passes: int = 5
    rounds: int = 3
    runs: int = 1_000
    singles: int = 500
    open_runs: int = 10_000
    waiting: int = 100_000
    finished: int = 1_000_000
    asking: int = 100_000
    """Runs that wait for an approval, of which `approved` are approved."""
    approved: int = 1_500
    messages: int = 20_000
    executions: int = 1_000_000


FULL: Final = Size()
QUICK: Final = Size(
    passes=3,
    rounds=1,
    singles=100,
    open_runs=2_000,
    waiting=10_000,
    finished=50_000,
    asking=2_000,
    approved=200,
    messages=5_000,
    executions=50_000,
)
SIZES: Final = {"full": FULL, "quick": QUICK}
