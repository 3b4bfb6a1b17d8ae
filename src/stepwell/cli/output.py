"""What commands print: JSON for programs, tables for people. Results go to stdout, everything else to stderr."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from stepwell.core.errors import Problem


def write_json(value: Any, *, pretty: bool = False) -> None:
    """One JSON value on stdout, on one line unless `pretty`."""
    data = msgspec.json.encode(value)
    sys.stdout.write((msgspec.json.format(data, indent=2) if pretty else data).decode() + "\n")
    sys.stdout.flush()


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """A table on stdout; `empty` says what there is none of."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    if not table.row_count:
        say(empty)
        return
    # Ids and addresses must be there whole for whoever pipes the table into another program.
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def _plain(text: str) -> Any:
    """Text of users: square brackets in it are no markup, control characters do not reach the terminal."""
    from rich.text import Text

    return Text("".join(sign if sign.isprintable() else " " for sign in text))


def say(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    print(text, file=sys.stderr, flush=True)


def instant(at: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 text, UTC, milliseconds; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(at: float | None) -> str:
    """An instant for people, in their time zone; empty when there is none."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def duration(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def problem_object(problem: Problem) -> dict[str, Any]:
    """A failure with its RFC 9457 members; `data` when the failing side gave some."""
    found: dict[str, Any] = {"type": problem.type, "title": problem.title, "status": problem.status}
    for name in ("detail", "instance"):
        if text := getattr(problem, name):
            found[name] = text
    return found if problem.data is None else {**found, "data": problem.data}
