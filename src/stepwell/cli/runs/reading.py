"""`stepwell runs`: list, show and watch runs."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from stepwell.cli.live import Follower
from stepwell.cli.opening import open_client
from stepwell.cli.options import THERE, Json, RunId, Target
from stepwell.cli.output import duration, local_time, say, write_json, write_table
from stepwell.cli.shapes import run_object, seen_object, state_object
from stepwell.cli.steps import hints, steps_table
from stepwell.core.errors import InvalidInputError
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.engine import Seen
from stepwell.engine.projections import ended_badly
from stepwell.engine.view_steps import place_of
from stepwell.store.model import RunQuery, RunRow

COLUMNS = ("id", "workflow", "status", "step", "created", "took")


def list_runs(
    *,
    status: Annotated[
        tuple[Status, ...], Parameter(help="Only runs of these statuses.", consume_multiple=False)
    ] = (),
    workflow: Annotated[
        tuple[str, ...], Parameter(help="Only runs of these workflows.", consume_multiple=False)
    ] = (),
    search: Annotated[str, Parameter(help="Only runs with this text in id, workflow or a label.")] = "",
    limit: Annotated[int, Parameter(help="At most so many.")] = 20,
    before: Annotated[str | None, Parameter(help="Id of the last run of the page before.")] = None,
    json: Json = False,
    where: Target = THERE,
) -> None:
    """List runs, newest first."""
    if limit < 1:
        raise InvalidInputError(f"--limit: expected a number above 0, found {limit}")
    query = RunQuery(statuses=status, workflows=workflow, search=search, limit=limit, before=before)
    rows = asyncio.run(_list(query, where))
    if json:
        write_json([run_object(row) for row in rows])
        return
    write_table(COLUMNS, [_cells(row) for row in rows], empty="no runs")


async def _list(query: RunQuery, where: Target) -> Sequence[RunRow]:
    async with open_client(where) as client:
        return await client.list_runs(query)


def _cells(row: RunRow) -> tuple[str, ...]:
    status = f"{row.status} ({row.reason})" if row.reason else str(row.status)
    took = duration(row.ended_at - row.created_at) if row.ended_at else ""
    return row.run_id, row.workflow, status, place_of(row.step), local_time(row.created_at), took


def show(run_id: RunId, /, *, json: Json = False, where: Target = THERE) -> None:
    """Show one run: its steps with their attempts, input, output and error."""
    state = asyncio.run(_state(run_id, where))
    if json:
        write_json(state_object(state))
    else:
        _print_state(state, options=where.repeated())


async def _state(run_id: str, where: Target) -> State:
    async with open_client(where) as client:
        return await client.state(run_id)


def _print_state(state: State, *, options: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=200)
    error = ended_badly(state)
    facts: list[tuple[str, Any]] = [
        ("run", state.run_id),
        ("workflow", f"{state.workflow} {state.version}"),
        ("status", f"{state.status} ({state.waiting_for})" if state.waiting_for else state.status),
        ("created", local_time(state.created_at)),
        ("ended", local_time(state.ended_at)),
        ("input", bytes(state.input).decode()),
        ("output", bytes(state.output).decode() if state.phase is Status.COMPLETED else ""),
        ("error", str(error) if error else ""),
    ]
    for name, value in facts:
        if value:
            console.print(Text(f"{name:9} {value}"))
    console.print(steps_table(state, last=len(state.steps)))
    for hint in hints(state, options=options):
        say(hint)


def watch(run_id: RunId, /, *, json: Json = False, where: Target = THERE) -> None:
    """Watch a run until it ends; with --json one line per event and stream item."""
    asyncio.run(_watch(run_id, json, where))


async def _watch(run_id: str, json: bool, where: Target) -> None:
    async with open_client(where) as client:
        seen = client.watch(run_id)
        if json:
            async for one in seen:
                write_json(seen_object(one))
        elif sys.stderr.isatty():
            await Follower(options=where.repeated()).follow(seen, live=True)
        else:
            async for one in seen:
                print(_line(one), flush=True)


def _line(seen: Seen) -> str:
    if seen.event is None:
        item = seen_object(seen)
        return f"item {item['item']:<4} {item['type']} {item.get('data')}"
    event = seen_object(seen)
    about = [str(event[name]) for name in ("key", "attempt", "approval_id", "signal") if event.get(name)]
    return f"{event['seq']:>4} {local_time(seen.event.at)} {' '.join([event['type'], *about])}"
