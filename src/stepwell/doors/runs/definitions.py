"""Definitions to execute: made, listed, changed by new versions, deleted; values of their envs; their schedules."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from stepwell.doors.kit import Answer, Call, Fault, InvalidRequestError, Reply, instant, read_value
from stepwell.doors.runs import definition_wire as w
from stepwell.doors.runs.api import DEFINITIONS, api
from stepwell.doors.runs.definition_service import Definitions, Kept, Version, number_of, version_id_of
from stepwell.doors.runs.mapping import pagination
from stepwell.doors.runs.orders import JSON
from stepwell.doors.runs.schedule_service import Schedules, shown
from stepwell.doors.runs.wire import MASK
from stepwell.programs.plan.model import Plan

READ_ONLY: Final = ("id", "versionId", "version", "createdAt", "updatedAt", "scheduleStatus", "sharedTeamKeys")
"""Members that an answer has and a document has not: sent back with the rest they are left out."""
ASIDE: Final = ("isDraft", "isDefault", "schedule")
"""Members that say what to do with the document."""
ONE: Final = f"{DEFINITIONS}/{{id}}"
MISSING: Final = {404: "there is no such workflow"}


class Sent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A document as it was sent, apart from what is to be done with it."""

    document: dict[str, Any]
    is_draft: bool = False
    is_default: bool = True
    schedule: w.ScheduleRequest | None = None


# --- definitions ----------------------------------------------------------------------------------------------------


@api.post(
    DEFINITIONS,
    summary="Make a definition",
    bodies={JSON: w.DefinitionDocument},
    answers={201: Answer(type=w.DefinitionAnswer, meaning="made; its version 1 is the default")},
    fails={400: "the document is wrong: every fault with its place"},
)
async def create_definition(call: Call, body: dict[str, Any]) -> Reply:
    """With `isDraft` the version is kept, and no run starts from it until it is made the default."""
    sent = _sent(body)
    definitions, schedules = Definitions(call.engine, call.principal), Schedules(call.engine)
    if sent.schedule is not None:
        with _inside("schedule"):
            schedules.check(definitions.check(sent.document).plan, sent.schedule, env={})
    kept = await definitions.create(sent.document, is_draft=sent.is_draft, key=call.start_key)
    if sent.schedule is not None:
        await schedules.set(kept, await _plan(call, kept), sent.schedule)
    headers = {"Location": f"{DEFINITIONS}/{kept.id}"}
    return Reply(body=await _answer(call, kept), status=201, headers=headers)


@api.get(
    DEFINITIONS,
    summary="List definitions",
    answers={200: Answer(type=w.DefinitionList, meaning="a page of definitions, newest first")},
)
async def list_definitions(call: Call, query: w.DefinitionQuery) -> Reply:
    """The caller's definitions."""
    found = await Definitions(call.engine, call.principal).list(is_draft=query.is_draft, search=query.search)
    statuses = await Schedules(call.engine).statuses()
    page = found[query.offset : query.offset + query.limit]
    body = w.DefinitionList(
        workflows=[w.DefinitionSummary(**_summary(kept, statuses.get(kept.id))) for kept in page],
        pagination=pagination(query.page, query.limit, len(found)),
    )
    return Reply(body=body)


@api.get(ONE, summary="Get a definition", answers={200: Answer(type=w.DefinitionAnswer)}, fails=MISSING)
async def get_definition(call: Call) -> Reply:
    """In its default version; before there is one, in its newest draft."""
    return Reply(body=await _answer(call, await _kept(call)))


@api.put(
    ONE,
    summary="Change a definition by a new version",
    bodies={JSON: w.DefinitionDocument},
    answers={200: Answer(type=w.DefinitionAnswer, meaning="the definition; runs go on with the version they have")},
    fails={400: "the document is wrong: every fault with its place", **MISSING},
)
async def update_definition(call: Call, body: dict[str, Any]) -> Reply:
    """The new version is the default at once, unless `isDraft` is true or `isDefault` is false."""
    kept = await _kept(call)
    definitions, schedules = Definitions(call.engine, call.principal), Schedules(call.engine)
    sent = _sent(_unmasked(body, (await definitions.version(kept, kept.shown)).document))
    if sent.schedule is not None:
        with _inside("schedule"):
            schedules.check(definitions.check(sent.document).plan, sent.schedule, env=kept.env)
    kept = await definitions.update(kept.id, sent.document, is_draft=sent.is_draft, is_default=sent.is_default)
    plan = await _plan(call, kept)
    if sent.schedule is not None:
        await schedules.set(kept, plan, sent.schedule)
    else:
        await schedules.renew(kept, plan)
    return Reply(body=await _answer(call, kept, kept.versions[-1].number))


@api.delete(
    ONE, summary="Delete a definition", answers={200: Answer(type=w.Deleted, meaning="it is gone")}, fails=MISSING
)
async def delete_definition(call: Call) -> Reply:
    """Its runs and their histories stay; its schedule goes with it."""
    kept = await _kept(call)
    if await Schedules(call.engine).find(kept.id) is not None:
        await Schedules(call.engine).remove(kept.id)
    await Definitions(call.engine, call.principal).delete(kept.id)
    return Reply(body=w.Deleted())


# --- versions -------------------------------------------------------------------------------------------------------


@api.get(f"{ONE}/versions", summary="List versions", answers={200: Answer(type=w.VersionList)}, fails=MISSING)
async def list_versions(call: Call) -> Reply:
    """All versions, newest first."""
    kept = await _kept(call)
    return Reply(body=w.VersionList(versions=[_version(kept, one) for one in reversed(kept.versions)]))


@api.get(
    f"{ONE}/versions/{{version_id}}",
    summary="Get a version",
    answers={200: Answer(type=w.DefinitionAnswer)},
    fails={404: "there is no such version"},
)
async def get_version(call: Call) -> Reply:
    """The definition as it was in that version."""
    kept = await _kept(call)
    return Reply(body=await _answer(call, kept, number_of(kept, call.id("version_id", "version"))))


@api.post(
    f"{ONE}/versions/{{version_id}}/default",
    summary="Choose the default version",
    answers={200: Answer(type=w.DefinitionAnswer, meaning="new runs start from this version")},
    fails={404: "there is no such version"},
)
async def set_default(call: Call) -> Reply:
    """Runs that were started go on with the version they have. A draft is published by this."""
    definitions = Definitions(call.engine, call.principal)
    kept = await definitions.set_default(call.id("id", "workflow"), call.id("version_id", "version"))
    await Schedules(call.engine).renew(kept, await _plan(call, kept))
    return Reply(body=await _answer(call, kept))


@api.post(
    f"{ONE}/envs",
    summary="Save values of envs",
    answers={200: Answer(type=w.DefinitionAnswer)},
    fails={400: "a name is not declared", **MISSING},
)
async def save_envs(call: Call, body: w.EnvsRequest) -> Reply:
    """They win over the values in the document, and lose against those of an execution."""
    kept = await Definitions(call.engine, call.principal).save_env(call.id("id", "workflow"), body.envs)
    await Schedules(call.engine).renew(kept, await _plan(call, kept))
    return Reply(body=await _answer(call, kept))


# --- schedules ------------------------------------------------------------------------------------------------------


@api.put(
    f"{ONE}/schedule",
    summary="Set, pause or resume the schedule",
    answers={200: Answer(type=w.ScheduleAnswer)},
    fails={400: "the rule is wrong", 404: "there is no such workflow, or no schedule to pause"},
)
async def put_schedule(call: Call, body: w.ScheduleRequest) -> Reply:
    """With a rule the schedule is set anew; with `paused` alone the one there is stops firing, or goes on."""
    kept, schedules = await _kept(call), Schedules(call.engine)
    plan = await _plan(call, kept)
    if body.paused is not None and body == w.ScheduleRequest(paused=body.paused):
        return Reply(body=w.ScheduleAnswer(schedule=shown(await schedules.pause(kept.id, paused=body.paused), plan)))
    return Reply(body=w.ScheduleAnswer(schedule=shown(await schedules.set(kept, plan, body), plan)))


@api.get(f"{ONE}/schedule", summary="Get the schedule", answers={200: Answer(type=w.ScheduleAnswer)}, fails=MISSING)
async def get_schedule(call: Call) -> Reply:
    """Null when there is none."""
    kept = await _kept(call)
    found = await Schedules(call.engine).find(kept.id)
    schedule = None if found is None else shown(found, await _plan(call, kept))
    return Reply(body=w.ScheduleAnswer(schedule=schedule))


@api.delete(
    f"{ONE}/schedule",
    summary="Delete the schedule",
    answers={200: Answer(type=w.Deleted, meaning="no more runs start by themselves")},
    fails={404: "there is no such workflow, or no schedule"},
)
async def delete_schedule(call: Call) -> Reply:
    """Runs that it started go on."""
    kept = await _kept(call)
    await Schedules(call.engine).remove(kept.id)
    return Reply(body=w.Deleted())


@api.get(
    f"{ONE}/upcoming-runs",
    summary="List the next firings of the schedule",
    answers={200: Answer(type=w.UpcomingRuns)},
    fails=MISSING,
)
async def upcoming_runs(call: Call, query: w.UpcomingQuery) -> Reply:
    """None when there is no schedule, or it is paused."""
    kept, schedules = await _kept(call), Schedules(call.engine)
    found = await schedules.find(kept.id)
    if found is None:
        return Reply(body=w.UpcomingRuns(upcoming_runs=[], timezone=None))
    runs = [w.UpcomingRun(scheduled_at=instant(at)) for at in schedules.upcoming(found, query.limit)]
    return Reply(body=w.UpcomingRuns(upcoming_runs=runs, timezone=found.timezone))


# --- shapes ---------------------------------------------------------------------------------------------------------


def _sent(body: dict[str, Any]) -> Sent:
    aside = {name: body[name] for name in ASIDE if name in body}
    document = {name: value for name, value in body.items() if name not in (*ASIDE, *READ_ONLY)}
    sent = read_value({"document": document, **aside}, Sent)
    if sent.is_draft and sent.schedule is not None:
        raise InvalidRequestError([Fault(path=("schedule",), message="expected none for a draft, found one")])
    return sent


@contextmanager
def _inside(member: str) -> Iterator[None]:
    """What is wrong inside is wrong with a member of the body."""
    try:
        yield
    except InvalidRequestError as error:
        faults = [msgspec.structs.replace(fault, path=(member, *fault.path)) for fault in error.faults]
        raise InvalidRequestError(faults) from None


def _unmasked(body: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The mask of a secret, sent back as it was shown, stands for what it was before."""
    changed = dict(body)
    for listed, member in (("inputs", "default"), ("envs", "value")):
        old = {one["name"]: one.get(member) for one in before.get(listed) or []}
        new = body.get(listed)
        if isinstance(new, list):
            changed[listed] = [
                {**one, member: old[one["name"]]}
                if isinstance(one, dict) and one.get(member) == MASK and one.get("name") in old
                else one
                for one in new
            ]
    return changed


async def _kept(call: Call) -> Kept:
    return await Definitions(call.engine, call.principal).get(call.id("id", "workflow"))


async def _plan(call: Call, kept: Kept) -> Plan:
    return (await Definitions(call.engine, call.principal).version(kept, kept.shown)).plan


async def _answer(call: Call, kept: Kept, number: int | None = None) -> w.DefinitionAnswer:
    number = kept.shown if number is None else number
    stated = await Definitions(call.engine, call.principal).version(kept, number)
    found = await Schedules(call.engine).find(kept.id)
    workflow = w.Definition(
        **{**_summary(kept, None if found is None else found.paused), **_stated(stated.document, kept, number)},
        version_id=version_id_of(kept, number),
        is_default=number == kept.default,
        envs=[_env(one.name, kept.env.get(one.name, one.value), one.secret) for one in stated.plan.env],
        schedule=None if found is None else shown(found, await _plan(call, kept)),
    )
    return w.DefinitionAnswer(workflow=workflow)


def _summary(kept: Kept, paused: bool | None) -> dict[str, Any]:
    return {
        "id": kept.id,
        "name": kept.name,
        "description": kept.description,
        "services": list(kept.services),
        "created_at": instant(kept.created_at),
        "updated_at": instant(kept.updated_at),
        "schedule_status": paused,
        "shared_team_keys": list(kept.shared_team_keys),
        "version": kept.shown,
        "is_draft": kept.version(kept.shown).is_draft,
    }


def _stated(document: dict[str, Any], kept: Kept, number: int) -> dict[str, Any]:
    """What the document itself says, defaults of secret inputs masked."""
    inputs = [
        {**one, "default": MASK} if one.get("secret") and one.get("default") is not None else one
        for one in document.get("inputs") or []
    ]
    stated = {
        "name": document["name"],
        "description": document.get("description"),
        "inputs": inputs,
        "steps": document["steps"],
        "version": number,
        "is_draft": kept.version(number).is_draft,
    }
    names = {"output": "output", "timeout": "timeout", "maxParallel": "max_parallel"}
    return {**stated, **{ours: document[name] for name, ours in names.items() if name in document}}


def _env(name: str, value: str, secret: bool) -> w.EnvShown:
    return w.EnvShown(name=name, value=MASK if secret and value else value, secret=secret)


def _version(kept: Kept, version: Version) -> w.VersionShown:
    return w.VersionShown(
        id=version_id_of(kept, version.number),
        version=version.number,
        is_default=version.number == kept.default,
        is_draft=version.is_draft,
        created_at=instant(version.created_at),
    )
