"""What an expression costs that needs no jq: plain paths, evaluated where they stand."""

import timeit
from pathlib import Path
from typing import Any, Final

from bench.gauge import median
from bench.size import Size
from stepwell.programs.flow.expressions import NO_VARIABLES, build, parse

CALLS: Final = 100_000
VALUE: Final[dict[str, Any]] = {"order": {"id": 7, "items": [{"sku": "a", "price": 2}], "customer": {"name": "Ann"}}}
PATHS: Final = (".", ".order.id", ".order.items[0].price", ".order.customer.name")


async def measure(_folder: Path, size: Size) -> dict[str, float]:
    """Microseconds for each evaluation, of the dearest of some paths and of a structure of them all."""
    paths = [parse(path) for path in PATHS]
    whole = build({path: f"${{ {path} }}" for path in PATHS}, "", lambda text, _at: parse(text))
    assert not any(expression.remote for expression in (*paths, whole))
    return {
        "plain_path_us": max(_us(path, size) for path in paths),
        "four_plain_paths_us": _us(whole, size),
    }


def _us(expression: Any, size: Size) -> float:
    timer = timeit.Timer(lambda: expression.run(VALUE, NO_VARIABLES))
    return median(timer.repeat(size.passes, CALLS)) / CALLS * 1e6
