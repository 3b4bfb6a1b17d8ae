"""What the demo's server hosts: functions that its workflows call, and the workflow of `examples/llama`."""

import sys
from pathlib import Path
from typing import Any

import msgspec

import stepwell

sys.path.append(str(Path(__file__).parents[1] / "llama"))

from review import Review, WasRead

app = stepwell.App()
app.add_workflow("review", Review(timeout=None), additional_events=[WasRead])


class Item(msgspec.Struct):
    """One line of an order; `price` in cents."""

    sku: str
    quantity: int
    price: int


@app.function(retry=stepwell.RetryPolicy(max_attempts=5, initial_s=0.1))
def price(ctx: stepwell.StepContext, items: list[Item]) -> dict[str, int]:
    """The order's total, from a price list that is away at first."""
    if ctx.attempt < 3:
        raise ConnectionError("the price list does not answer")
    return {"total": sum(item.quantity * item.price for item in items)}


@app.function
async def invoice(total: int) -> str:
    return f"invoice over {total / 100:.2f} EUR"


@app.function
async def label(items: list[Item]) -> dict[str, Any]:
    return {"parcels": len(items), "pieces": sum(item.quantity for item in items)}


@app.function
async def read_order(ctx: stepwell.StepContext, file: dict[str, Any]) -> dict[str, int]:
    """How many lines an order's file has; what it thinks of them can be watched."""
    assert app.files is not None
    lines = app.files.path(file).read_text().split()
    for line in lines:
        ctx.think(f"A {line}: we have that.")
    return {"lines": len(lines)}
