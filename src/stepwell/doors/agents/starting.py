"""Starting a run: of a published template, of an operator's workflow, or of the steps that come with the request.

All that can be wrong with it is found before there is a run.
"""

from typing import Final

import msgspec

from stepwell.core.errors import WorkflowNotFoundError
from stepwell.doors.agents import mapping, wire
from stepwell.doors.agents.reading import read_instant
from stepwell.doors.agents.template_service import Startable, Templates
from stepwell.doors.kit import Call, Fault, InvalidRequestError, MissingError
from stepwell.doors.kit.inputs import check_input
from stepwell.engine.ids import canonical_uuid
from stepwell.engine.ownership import OWNED
from stepwell.store.model import Definition

DOOR: Final = "agents"


async def start_run(call: Call, body: wire.StartRun) -> wire.Run:
    """A run that exists on disk, as it is at its start.

    Raises `InvalidRequestError`, `InvalidDefinitionError`, `MissingError`.
    """
    start_at = read_instant(body.scheduled_at, "scheduled_at")
    startable = await _startable(call, body)
    definition = await call.engine.workflows.find(startable.workflow, startable.version)
    await check_input(call, definition, body.input, "input")
    started = await call.engine.start(
        startable.workflow,
        body.input,
        version=startable.version,
        start_key=call.start_key,
        owner=call.principal.owner,
        door=DOOR,
        labels=_metadata_label(body),
        start_at=start_at if start_at is not None and start_at > call.now else None,
        run_timeout_s=body.timeout_seconds,
        callback_url=body.callback_url or "",
        actor=call.actor,
    )
    return mapping.run(await call.engine.view(started.run_id, at_seq=1))


# --- what is started ------------------------------------------------------------------------------------------------


async def _startable(call: Call, body: wire.StartRun) -> Startable:
    templates = Templates(call.engine, call.principal)
    match body.template_id, body.steps:
        case None, None:
            raise _neither_or_both("expected a template_id, or a name and steps, found neither")
        case str(), list():
            raise _neither_or_both("expected a template_id, or a name and steps, found both")
        case None, _:
            return await _inline(templates, body)
        case _:
            return await _published(call, templates, body)


async def _inline(templates: Templates, body: wire.StartRun) -> Startable:
    """The older form: a template of its own, which takes any input."""
    if body.name is None:
        raise InvalidRequestError([Fault(path=("name",), message="is required beside steps")])
    if body.template_version is not None:
        fault = Fault(path=("template_version",), message="expected none beside steps, found one")
        raise InvalidRequestError([fault])
    return await templates.inline({"name": body.name, "steps": body.steps, "additional_variables": True})


async def _published(call: Call, templates: Templates, body: wire.StartRun) -> Startable:
    """A template of the caller's, else a workflow that the operator loaded."""
    template_id = str(body.template_id)
    if body.name is not None:
        fault = Fault(path=("name",), message="expected none beside template_id, found one")
        raise InvalidRequestError([fault])
    try:
        return await templates.startable(template_id, body.template_version)
    except MissingError:
        definition = await _operators(call, template_id)
        if definition is None or body.template_version is not None:
            raise
        return Startable(workflow=definition.name, version=definition.version, name=definition.name)


async def _operators(call: Call, id: str) -> Definition | None:
    """A workflow of a file or of Python, by its UUID."""
    if canonical_uuid(id) is None:
        return None
    try:
        definition = await call.engine.workflows.find(id)
    except WorkflowNotFoundError:
        return None
    return None if definition.kind in OWNED else definition


def _neither_or_both(message: str) -> InvalidRequestError:
    return InvalidRequestError([Fault(path=(name,), message=message) for name in ("template_id", "steps")])


# --- what it is started with ----------------------------------------------------------------------------------------


def _metadata_label(body: wire.StartRun) -> dict[str, str]:
    if not body.metadata:
        return {}
    text = msgspec.json.encode(body.metadata)
    if len(text) > wire.MAX_METADATA_BYTES:
        message = f"expected at most {wire.MAX_METADATA_BYTES} bytes of JSON, found {len(text)}"
        raise InvalidRequestError([Fault(path=("metadata",), message=message)])
    return {mapping.METADATA: text.decode()}
