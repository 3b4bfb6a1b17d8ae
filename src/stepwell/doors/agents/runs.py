"""`/api/v1/workflows`: runs are started, listed, read and steered."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from stepwell.core.history import RunRetried
from stepwell.core.status import Status
from stepwell.doors.agents import mapping, wire
from stepwell.doors.agents.api import api
from stepwell.doors.agents.reading import full_run, read_instant, shown_run, visible_run
from stepwell.doors.agents.starting import start_run
from stepwell.doors.agents.template_wire import pagination
from stepwell.doors.kit import Answer, Call, Cursor, Found, Reply
from stepwell.engine.retrying import RetryOptions
from stepwell.store.model import CountQuery, RunQuery

PATH: Final = "/api/v1/workflows"
ONE: Final = f"{PATH}/{{id}}"

COUNTED: Final = 10_000
"""A list with filters that no total is kept for is counted so far."""
_UNKNOWN: Final = {404: "there is no such run, or it is somebody else's"}
_WRONG_STATE: Final = {**_UNKNOWN, 409: "not in this status: `details` has from, action and allowed_from"}


@api.post(
    PATH,
    summary="Start a run",
    answers={201: Answer(type=wire.Run, headers={"Location": "the path of the run"})},
    fails={
        404: "there is no such template",
        422: "the template is not published, or the input is not as it declares",
    },
)
async def start_workflow(call: Call, body: wire.StartRun) -> Reply:
    """Of a published template, whose newest version the run is pinned to; or of the steps in the body."""
    run = await start_run(call, body)
    return Reply(status=201, body=run, headers={"Location": f"{PATH}/{run.id}"})


@api.get(PATH, summary="List runs", answers={200: Answer(type=wire.RunList)}, fails={422: "a parameter is wrong"})
async def list_workflows(call: Call, query: wire.RunsQuery) -> Reply:
    """The caller's runs through every API, newest first. Filtered by trigger or time, no more than 10,000 are
    counted for the total.
    """
    wanted, start = await _wanted(call, query), query.start
    place = msgspec.structs.replace(wanted, before=start.before, offset=start.offset, limit=query.limit + 1)
    rows = await call.engine.list_runs(place)
    page = rows[: query.limit]
    next = Cursor(before=page[-1].run_id) if len(rows) > len(page) else None
    found = Found(items=[mapping.run_summary(row) for row in page], total=await _total(call, wanted), next=next)
    return Reply(body=wire.RunList(data=found.items, meta=pagination(found)))


@api.get(ONE, summary="Get a run", answers={200: Answer(type=wire.FullRun)}, fails=_UNKNOWN)
async def get_workflow(call: Call) -> Reply:
    """With its steps, its approvals and the first 500 entries of its event log."""
    return Reply(body=await full_run(call.engine, (await visible_run(call)).run_id))


async def _wanted(call: Call, query: wire.RunsQuery) -> RunQuery:
    """The runs that a request asks for, without its page. Raises `InvalidRequestError`."""
    statuses, reasons = mapping.statuses_of(query.status)
    workflows: tuple[str, ...] = ()
    if query.template_id is not None:
        id = query.template_id.lower()
        workflows = (await call.engine.workflows.named(id) or id,)
    return RunQuery(
        owner=call.principal.sees,
        statuses=statuses,
        reasons=reasons,
        workflows=workflows,
        origins=tuple(origin for trigger in query.trigger_type for origin in mapping.ORIGINS[trigger]),
        created_from=read_instant(query.created_after, "created_after"),
        created_to=read_instant(query.created_before, "created_before"),
    )


async def _total(call: Call, wanted: RunQuery) -> int:
    """How many runs there are on all pages. Totals are kept by owner, workflow and status; others are counted."""
    engine = call.engine
    if wanted.origins or wanted.created_from is not None or wanted.created_to is not None:
        return await engine.store.count_found(wanted, COUNTED)
    if wanted.reasons and wanted.workflows:
        return await engine.store.count_found(wanted, COUNTED)
    workflow = wanted.workflows[0] if wanted.workflows else None
    counts = await engine.count_runs(CountQuery(owner=wanted.owner, workflow=workflow))
    statuses = set(wanted.statuses or Status) - ({Status.WAITING} if wanted.reasons else set())
    total = sum(runs for (_, status), runs in counts.items() if status in statuses)
    if wanted.reasons:
        waiting = await engine.store.count_waiting(wanted.owner)
        total += sum(waiting[reason] for reason in wanted.reasons)
    return total


# --- commands -------------------------------------------------------------------------------------------------------


@api.post(f"{ONE}/pause", summary="Pause a run", answers={200: Answer(type=wire.Run)}, fails=_WRONG_STATE)
async def pause_workflow(call: Call, body: wire.GiveReason) -> Reply:
    """Steps at work finish; nothing else begins, is tried again or wakes. Deadlines of people go on. Pausing a paused
    run changes nothing.
    """
    return await _steered(call, lambda id: call.engine.pause(id, reason=body.reason, actor=call.actor))


@api.post(f"{ONE}/resume", summary="Resume a run", answers={200: Answer(type=wire.Run)}, fails=_WRONG_STATE)
async def resume_workflow(call: Call, body: wire.GiveReason) -> Reply:  # noqa: ARG001  # a reason is taken, and not kept
    """It goes on from what is on record. Resuming a run that is not paused changes nothing."""
    return await _steered(call, lambda id: call.engine.resume(id, actor=call.actor))


@api.post(f"{ONE}/cancel", summary="Cancel a run", answers={200: Answer(type=wire.Run)}, fails=_WRONG_STATE)
async def cancel_workflow(call: Call, body: wire.CancelRun) -> Reply:
    """At once, from every status that is not an end; pending approvals and callbacks are cancelled with it. What it
    has done is undone when that is asked for, by a run of its own.
    """
    reason, compensate = body.reason, body.compensate
    return await _steered(
        call, lambda id: call.engine.cancel(id, reason=reason, compensate=compensate, actor=call.actor)
    )


@api.post(
    f"{ONE}/retry",
    summary="Retry a failed or cancelled run",
    answers={202: Answer(type=wire.Run)},
    fails={**_WRONG_STATE, 422: "there is no such step, or a completed step is another one in the latest version"},
)
async def retry_workflow(call: Call, body: wire.RetryRun) -> Reply:
    """The same run goes on from its last failed step; what completed is kept. A rejected or expired approval is asked
    for anew, under a new id.
    """
    run_id = (await visible_run(call)).run_id
    options = RetryOptions(
        from_step=body.from_step, input_patch=body.input_patch, latest=body.template_version == "latest"
    )
    await call.engine.retry(run_id, options=options, actor=call.actor)
    return Reply(status=202, body=mapping.run(await call.engine.view(run_id, at_seq=await _retried_at(call, run_id))))


async def _retried_at(call: Call, run_id: str) -> int:
    """Where the last retry stands in the history: the answer shows the run as it begins anew."""
    events = await call.engine.history(run_id)
    return max(seq for seq, event in enumerate(events, 1) if isinstance(event, RunRetried))


async def _steered(call: Call, command: Callable[[str], Awaitable[bool]]) -> Reply:
    run_id = (await visible_run(call)).run_id
    await command(run_id)
    return Reply(body=await shown_run(call.engine, run_id))
