"""The workflows that a caller can start: definitions and templates of its own, and whatever the operator has loaded.

A definition (or template) has a record of its kind, whose owner is whose it is. Without one it was deleted, and past
runs are all that is left. Flows and Python workflows have no record: they are the operator's, and everybody's to run.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from stepwell.core.errors import WorkflowNotFoundError
from stepwell.core.principal import Principal
from stepwell.doors.kit import MissingError
from stepwell.engine import Engine
from stepwell.engine.ids import workflow_uuid
from stepwell.programs.plan.definitions import read_definition
from stepwell.programs.plan.model import Plan
from stepwell.programs.plan.templates import read_template
from stepwell.store.port import Definition, Record, RunQuery

OWNED: Final = {"definition": read_definition, "template": read_template}
"""Kinds of workflows that belong to somebody, and what makes a plan of their text."""


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
        version = default_version(record)
        if version != definition.version:
            definition = await self._engine.workflows.find(definition.name, version)
        plan = plan_of(definition)
        assert plan is not None
        env = {str(name): str(value) for name, value in record.data.get("env", {}).items()}
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
        """The record of a workflow that belongs to somebody; None of the operator's. Raises `MissingError`."""
        if definition.kind not in OWNED:
            return None
        found = await self._engine.store.get_records(definition.kind, id=definition.name)
        if not found or not self._principal.may_see(found[0].owner):
            raise MissingError("workflow", definition.name)
        return found[0]


def plan_of(definition: Definition) -> Plan | None:
    """The plan of a definition or template; None of other kinds."""
    return _plan(definition.kind, definition.text) if definition.kind in OWNED else None


@lru_cache(maxsize=512)
def _plan(kind: str, text: str) -> Plan:
    return OWNED[kind](text)


async def workflow_id(name: str) -> str:
    """The UUID of a workflow by the engine's name."""
    return workflow_uuid(name)


def default_version(record: Record) -> str:
    """The version that new runs get."""
    data: dict[str, Any] = record.data
    return str(data.get("default") or data.get("published"))
