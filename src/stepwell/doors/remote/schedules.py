"""Schedules of the database. They start runs that have no owner, of any workflow: so they are the operator's."""

from typing import Final

from stepwell.doors.kit import Answer, Call, Reply
from stepwell.doors.remote import wire
from stepwell.doors.remote.api import PATH, api
from stepwell.engine import Schedule
from stepwell.security.refusals import AccessError, Reason

SCHEDULES: Final = f"{PATH}/schedules"
ONE: Final = f"{SCHEDULES}/{{id}}"
_FAILS: Final = {403: "the credential lacks the scope admin", 404: "there is no such schedule"}


def _operator(call: Call) -> None:
    """Raises `AccessError`."""
    if not call.principal.may("admin"):
        raise AccessError(Reason.INSUFFICIENT_SCOPE, "schedules: the credential lacks the scope admin")


@api.get(SCHEDULES, summary="List schedules", answers={200: Answer(type=list[Schedule])}, fails={403: _FAILS[403]})
async def list_all_schedules(call: Call) -> Reply:
    """All of them, by id."""
    _operator(call)
    return Reply(body=await call.engine.list_schedules())


@api.post(
    SCHEDULES,
    summary="Start runs at times",
    answers={200: Answer(type=Schedule)},
    fails={**_FAILS, 404: "there is no such workflow"},
)
async def add_schedule(call: Call, body: wire.AddSchedule) -> Reply:
    """Exactly one of `cron`, `every_s` and `at`."""
    _operator(call)
    rule = await call.engine.schedule(
        body.workflow,
        body.input,
        cron=body.cron,
        timezone=body.timezone,
        every_s=body.every_s,
        at=body.at,
        id=body.id,
    )
    return Reply(body=rule)


@api.post(f"{ONE}/pause", summary="Pause a schedule", answers={200: Answer(type=Schedule)}, fails=_FAILS)
async def pause_one_schedule(call: Call) -> Reply:
    """It starts nothing until it is resumed."""
    _operator(call)
    return Reply(body=await call.engine.pause_schedule(call.path("id")))


@api.post(f"{ONE}/resume", summary="Resume a schedule", answers={200: Answer(type=Schedule)}, fails=_FAILS)
async def resume_one_schedule(call: Call) -> Reply:
    """It starts runs again, from now on."""
    _operator(call)
    return Reply(body=await call.engine.pause_schedule(call.path("id"), paused=False))


@api.delete(ONE, summary="Remove a schedule", answers={204: Answer()}, fails=_FAILS)
async def remove_schedule(call: Call) -> Reply:
    """Runs that it started stay."""
    _operator(call)
    await call.engine.unschedule(call.path("id"))
    return Reply(status=204)
