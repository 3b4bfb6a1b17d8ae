"""Results: a table for people, a dated flat JSON object for comparisons."""

import re
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


def show(title: str, figures: dict[str, Any]) -> None:
    """Print figures as a table, in their order."""
    table = Table("figure", "value", title=title)
    table.columns[1].justify = "right"
    for name, value in figures.items():
        table.add_row(name, f"{value:,.3g}" if isinstance(value, float) and value < 1_000 else _plain(value))
    Console().print(table)


def _plain(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def save(folder: Path, figures: dict[str, Any], *, kind: str = "") -> Path:
    """Write `<date>-<machine>[-<kind>].json`; where."""
    machine = re.sub(r"[^a-zA-Z0-9]+", "-", str(figures["machine"])).strip("-").lower() or "machine"
    name = "-".join(part for part in (time.strftime("%Y-%m-%d"), machine, kind) if part)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    return path
