"""The workflows that a caller can start: definitions and templates of its own, and whatever the operator has loaded.

A definition (or template) has a record of its kind, whose owner is whose it is. Without one it was deleted, and past
runs are all that is left. Flows and Python workflows have no record: they are the operator's, and everybody's to run.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from stepwell.core.errors import WorkflowNotFoundError
from stepwell.core.principal import Principal
from stepwell.doors.kit import MissingError
from stepwell.doors.runs.errors import ConflictError
from stepwell.engine import Engine, ownership
from stepwell.engine.ids import workflow_uuid
from stepwell.programs.flow.check import Check
from stepwell.programs.flow.source import Source
from stepwell.programs.plan import definitions, templates
from stepwell.programs.plan.model import Plan
from stepwell.store.model import Definition, Record, RunQuery

OWNED: Final[Mapping[str, Callable[[Any, Check], Any]]] = {
    definitions.KIND: definitions.read_definition,
    templates.KIND: templates.read_template,
}
"""Kinds of workflows that are plans, and what makes one of their documents."""


class Startable(msgspec.Struct, frozen=True, kw_only=True):
    """A version to start runs of: the engine's `workflow` and `version`, and what people call it.

    `env` are the values saved for the definition beside its document; they win over those in it.
    """

    workflow: str
    version: str
    name: str
    plan: Plan | None = None
    env: dict[str, str] = {}


class Workflows:
    """The workflows of an engine, as one principal sees them: those of others do not exist."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine = engine
        self._principal = principal

    async def startable(self, id: str) -> Startable:
        """What a run of the workflow with this UUID is started from. Raises `MissingError`, `ConflictError`."""
        definition = await self._find(id)
        record = await self._record(definition)
        if record is None:
            return Startable(workflow=definition.name, version=definition.version, name=definition.name)
        version = _default_version(record)
        if version != definition.version:
            definition = await self._engine.workflows.find(definition.name, version)
        plan = plan_of(definition)
        assert plan is not None
        saved: Mapping[str, str] = record.data.get("env", {})
        env = {one.name: saved[one.name] for one in plan.env if one.name in saved}
        return Startable(workflow=definition.name, version=version, name=plan.name, plan=plan, env=env)

    async def engine_name(self, id: str) -> str:
        """The engine's name of the workflow with this UUID, whether there is one or not."""
        return await self._engine.workflows.named(id) or id

    async def known(self, id: str) -> str:
        """The engine's name of a workflow that the caller can start, or has started. Raises `MissingError`."""
        try:
            definition = await self._find(id)
            await self._record(definition)
        except MissingError:
            name = await self.engine_name(id)
            runs = RunQuery(owner=self._principal.sees, workflows=(name,), limit=1)
            if not await self._engine.list_runs(runs):
                raise
            return name
        return definition.name

    async def _find(self, id: str) -> Definition:
        try:
            return await self._engine.workflows.find(id)
        except WorkflowNotFoundError:
            raise MissingError("workflow", id) from None

    async def _record(self, definition: Definition) -> Record | None:
        """The record of a definition or template; None of other workflows. Raises `MissingError`."""
        if definition.kind not in ownership.OWNED:
            return None
        found = await self._engine.store.get_records(definition.kind, id=definition.name)
        if not found or not self._principal.may_see(found[0].owner):
            raise MissingError("workflow", workflow_uuid(definition.name))
        return found[0] if definition.kind in OWNED else None


def plan_of(definition: Definition) -> Plan | None:
    """The plan of a definition or template; None of other kinds."""
    return plan_of_text(definition.kind, definition.text) if definition.kind in OWNED else None


@lru_cache(maxsize=512)
def plan_of_text(kind: str, text: str) -> Plan:
    """The plan of a document that was checked: here it is only read."""
    source = Source(msgspec.json.decode(text), {})
    plan = OWNED[kind](source.value, Check(source))
    assert isinstance(plan, Plan), "a saved document is a plan"
    return plan


def _default_version(record: Record) -> str:
    """The version that new runs get. Raises `ConflictError`."""
    data = record.data
    if record.kind == templates.KIND and data.get("archived_at") is not None:
        raise ConflictError(f"the template {record.id} is archived: no more runs start from it")
    version = data["default"] if record.kind == definitions.KIND else data["published"]
    if not version:
        raise ConflictError(f"the workflow {record.id} is a draft: no run starts from it before it is published")
    return str(version)
