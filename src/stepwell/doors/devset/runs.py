"""Runs: listed, one by one, stopped."""

from contextlib import suppress

from stepwell.core.errors import RefusedError, RunNotFoundError
from stepwell.core.status import Status
from stepwell.doors.devset.api import ENGINE, api
from stepwell.doors.devset.counting import ACTIVE, ENDED, run_of
from stepwell.doors.devset.errors import RunMissingError
from stepwell.doors.devset.wire import Run, Runs, RunsQuery
from stepwell.doors.kit import Answer, Call, Reply
from stepwell.doors.kit.seeing import created_of
from stepwell.store.model import RunQuery

for prefix in ENGINE:

    @api.get(
        f"{prefix}/runs",
        summary="List runs",
        answers={200: Answer(type=Runs, meaning="the newest runs, active and completed")},
    )
    async def list_runs(call: Call, query: RunsQuery) -> Reply:
        """The caller's runs through every API: a run of another kind counts as one execution."""
        return Reply(body=Runs(active=await _page(call, query, ACTIVE), completed=await _page(call, query, ENDED)))

    @api.get(
        f"{prefix}/runs/{{run_id}}",
        summary="Get a run",
        answers={200: Answer(type=Run, meaning="how it stands")},
        fails={404: "there is no such run"},
    )
    async def get_run(call: Call) -> Reply:
        return Reply(body=await run_of(call.engine, await known_run(call)))

    @api.post(
        f"{prefix}/runs/{{run_id}}/stop",
        summary="Stop a run",
        answers={202: Answer(type=Run, meaning="how it stands now")},
        fails={404: "there is no such run"},
    )
    async def stop_run(call: Call) -> Reply:
        """Each execution finishes the stage it is in; waits are cut short. A run that has ended stays as it is."""
        run_id = await known_run(call)
        with suppress(RefusedError):  # it has ended meanwhile
            await call.engine.stop(run_id, reason="Stopped by user", actor=call.actor)
        return Reply(body=await run_of(call.engine, run_id), status=202)


async def known_run(call: Call) -> str:
    """The run that the path names, if the caller may see it. Raises `RunMissingError`."""
    run_id = call.path("run_id")
    try:
        return (await created_of(call.engine, call.principal, run_id)).run_id
    except RunNotFoundError:
        raise RunMissingError(run_id) from None


async def _page(call: Call, query: RunsQuery, statuses: tuple[Status, ...]) -> list[Run]:
    rows = await call.engine.list_runs(
        RunQuery(owner=call.principal.sees, statuses=statuses, before=query.before, limit=query.limit)
    )
    found: list[Run] = []
    for row in rows:
        with suppress(RunNotFoundError):  # pruned meanwhile
            found.append(await run_of(call.engine, row.run_id))
    return found
