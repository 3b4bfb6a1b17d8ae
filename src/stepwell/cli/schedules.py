"""`stepwell schedules`: rules that start runs at times. A server on the same database carries them out."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from cyclopts import App, Parameter

from stepwell.cli.client import Client
from stepwell.cli.opening import open_client
from stepwell.cli.options import THERE, Json, JsonText, Target, read_json
from stepwell.cli.output import instant, local_time, say, write_json, write_table
from stepwell.core.errors import InvalidInputError
from stepwell.engine import Schedule

app = App(name="schedules", help="Start runs at times.")

Id = Annotated[str, Parameter(help="The schedule's id.")]


@app.command(name="list")
def list_schedules(*, json: Json = False, where: Target = THERE) -> None:
    """List all schedules."""
    found = _with_client(where, lambda client: client.list_schedules())
    if json:
        write_json([_object(one) for one in found])
        return
    rows = [(one.id, one.workflow, _rule(one), "paused" if one.paused else local_time(one.next_at)) for one in found]
    write_table(("id", "workflow", "rule", "next"), rows, empty="no schedules")


@app.command
def add(
    workflow: Annotated[str, Parameter(help="Name of a workflow in the database.")],
    /,
    *,
    cron: Annotated[str | None, Parameter(help="Five fields: minute, hour, day, month, weekday.")] = None,
    timezone: Annotated[str, Parameter(help="Of the cron rule, like Europe/Madrid.")] = "UTC",
    every: Annotated[float | None, Parameter(help="Seconds between two starts.")] = None,
    at: Annotated[datetime | None, Parameter(help="Start once, like 2026-01-31T08:00:00+01:00.")] = None,
    input: Annotated[JsonText, Parameter(help="The runs' input: JSON, @file, or - for stdin.")] = None,
    id: Annotated[str | None, Parameter(help="Of the schedule; the same again replaces it.")] = None,
    json: Json = False,
    where: Target = THERE,
) -> None:
    """Start runs of a workflow at times: exactly one of --cron, --every and --at."""
    given = [option for option, told in (("--cron", cron), ("--every", every), ("--at", at)) if told is not None]
    if len(given) != 1:
        raise InvalidInputError(
            f"expected exactly one of --cron, --every and --at, found {', '.join(given) or 'none'}"
        )
    value = read_json(input, option="--input")
    rule = _with_client(
        where,
        lambda client: client.schedule(
            workflow, value, cron=cron, timezone=timezone, every_s=every, at=_instant(at), id=id
        ),
    )
    _report(rule, f"starts {workflow} next at {local_time(rule.next_at)}", json=json)


@app.command
def pause(id: Id, /, *, json: Json = False, where: Target = THERE) -> None:
    """Start nothing until the schedule is resumed."""
    _report(_with_client(where, lambda client: client.pause_schedule(id)), "is paused", json=json)


@app.command
def resume(id: Id, /, *, json: Json = False, where: Target = THERE) -> None:
    """Let a paused schedule start runs again, from now on."""
    rule = _with_client(where, lambda client: client.pause_schedule(id, paused=False))
    _report(rule, f"starts {rule.workflow} next at {local_time(rule.next_at)}", json=json)


@app.command
def remove(id: Id, /, *, where: Target = THERE) -> None:
    """Forget a schedule; runs that it started stay."""
    _with_client(where, lambda client: client.unschedule(id))
    say(f"schedule {id} is removed")


def _with_client(where: Target, work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def do() -> Any:
        async with open_client(where) as client:
            return await work(client)

    return asyncio.run(do())


def _instant(at: datetime | None) -> float | None:
    """Raises `InvalidInputError` for a time that has passed: such a schedule would never start anything."""
    if at is not None and at.timestamp() <= datetime.now().timestamp():
        raise InvalidInputError(f"--at: expected a time to come, found {at.isoformat()}")
    return at.timestamp() if at is not None else None


def _report(rule: Schedule, done: str, *, json: bool) -> None:
    if json:
        write_json(_object(rule))
    else:
        say(f"schedule {rule.id} {done}")


def _object(rule: Schedule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "workflow": rule.workflow,
        "cron": rule.cron,
        "timezone": rule.timezone,
        "every_s": rule.every_s,
        "at": instant(rule.at),
        "input": rule.input,
        "paused": rule.paused,
        "next_at": instant(rule.next_at),
        "last_at": instant(rule.last_at),
        "last_run_id": rule.last_run_id,
        "last_error": rule.last_error,
    }


def _rule(rule: Schedule) -> str:
    if rule.cron is not None:
        return f"{rule.cron} ({rule.timezone})"
    return f"every {rule.every_s:g} s" if rule.every_s is not None else f"at {local_time(rule.at)}"
