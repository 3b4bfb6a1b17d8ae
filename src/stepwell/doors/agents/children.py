"""The workflows that a template starts as its children: they must exist for who writes the template.

Else a template could run, and read, what belongs to somebody else. Names that are no UUIDs are those of workflows
that the operator loaded, and everybody's to run.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.core.errors import WorkflowNotFoundError
from stepwell.core.principal import Principal
from stepwell.engine import Engine
from stepwell.engine.ids import canonical_uuid
from stepwell.engine.ownership import owner_of

OWNED: Final = ("template", "definition")
"""Kinds of records, and of workflows, that belong to somebody."""
_REFERENCES: Final = ("template_id", "workflow_id")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A child named in a document, and where."""

    pointer: str
    workflow: str


async def check_children(document: dict[str, Any], engine: Engine, principal: Principal) -> None:
    """Raises `InvalidDefinitionError` that names each child which is not there for this principal."""
    faults = [
        Fault(pointer=found.pointer, line=0, message=f"there is no workflow {found.workflow}")
        for found in references(document["steps"], "/steps")
        if canonical_uuid(found.workflow) is not None and not await _may_start(found.workflow, engine, principal)
    ]
    if faults:
        raise InvalidDefinitionError(faults)


def references(steps: list[dict[str, Any]], at: str) -> Iterator[Reference]:
    """The children of a list of steps that has no other faults, those inside a `foreach` too."""
    for number, step in enumerate(steps):
        config = step.get("config") or {}
        pointer = f"{at}/{number}/config"
        if step["type"] == "subworkflow":
            for name in _REFERENCES:
                if config.get(name) is not None:
                    yield Reference(pointer=f"{pointer}/{name}", workflow=config[name])
        elif step["type"] == "foreach":
            yield from references(config["steps"], f"{pointer}/steps")


async def _may_start(id: str, engine: Engine, principal: Principal) -> bool:
    for kind in OWNED:
        for record in await engine.store.get_records(kind, id=id):
            return principal.may_see(record.owner)
    try:
        owner = await owner_of(engine.store, await engine.workflows.find(id))
    except WorkflowNotFoundError:
        return False
    return owner is None or principal.may_see(owner)
