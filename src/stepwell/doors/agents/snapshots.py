"""Snapshots of a run, and going back to one."""

from stepwell.core import history as h
from stepwell.doors.agents import mapping, wire
from stepwell.doors.agents.api import api
from stepwell.doors.agents.reading import shown_run, visible_run
from stepwell.doors.agents.runs import ONE
from stepwell.doors.agents.template_wire import pagination
from stepwell.doors.kit import Answer, Call, Cursor, Found, MissingError, OffsetPage, Reply, instant
from stepwell.engine.snapshots import Snapshot, contents_of, snapshots_of

_FAILS = {
    404: "there is no such run or snapshot, or it is somebody else's",
    409: "not in this status: `details` has from, action and allowed_from",
}


@api.get(
    f"{ONE}/snapshots",
    summary="List snapshots",
    answers={200: Answer(type=wire.SnapshotList)},
    fails={404: _FAILS[404]},
)
async def list_snapshots(call: Call, query: OffsetPage) -> Reply:
    """Newest first: after every step that completed, before every retry, and those taken by hand."""
    run_id = (await visible_run(call)).run_id
    events = await call.engine.history(run_id)
    points = list(reversed(snapshots_of(events)))
    start = query.start.offset
    page = points[start : start + query.limit]
    next = Cursor(offset=start + len(page)) if start + len(page) < len(points) else None
    items = _shown(run_id, events, page)
    found = Found(items=items, total=len(points), next=next)
    return Reply(body=wire.SnapshotList(data=items, meta=pagination(found)))


@api.post(f"{ONE}/snapshots", summary="Take a snapshot", answers={201: Answer(type=wire.Snapshot)}, fails=_FAILS)
async def take_snapshot(call: Call, body: wire.TakeSnapshot) -> Reply:
    """A named point to roll back to. A run that has ended takes none."""
    run_id = (await visible_run(call)).run_id
    await call.engine.snapshot(run_id, body.label, actor=call.actor)
    events = await call.engine.history(run_id)
    taken = [point for point in snapshots_of(events) if point.reason == "manual"]
    return Reply(status=201, body=_shown(run_id, events, taken[-1:])[0])


@api.post(
    f"{ONE}/rollback", summary="Roll a run back to a snapshot", answers={200: Answer(type=wire.Run)}, fails=_FAILS
)
async def roll_back(call: Call, body: wire.RollBack) -> Reply:
    """The run must be paused, failed or cancelled. What it did since is forgotten, to be done again, but stays in
    the event log. Effects outside are undone as far as `compensate` asks for it. The run is left paused.
    """
    run_id = (await visible_run(call)).run_id
    points = snapshots_of(await call.engine.history(run_id))
    to_seq = next(
        (one.seq for one in points if mapping.snapshot_id(run_id, one.seq) == body.snapshot_id.lower()), None
    )
    if to_seq is None:
        raise MissingError("snapshot", body.snapshot_id[:80])
    await call.engine.roll_back(run_id, to_seq, reason=body.reason, compensate=body.compensate, actor=call.actor)
    return Reply(body=await shown_run(call.engine, run_id))


def _shown(run_id: str, events: list[h.AnyEvent], points: list[Snapshot]) -> list[wire.Snapshot]:
    contents = dict(contents_of(events, {point.seq for point in points}))
    return [
        wire.Snapshot(
            id=mapping.snapshot_id(run_id, point.seq),
            run_id=run_id,
            seq=point.seq,
            label=point.label,
            reason=point.reason,
            created_at=instant(point.at),
            context_sha256=contents[point.seq].sha256,
            size=contents[point.seq].size,
        )
        for point in points
    ]
