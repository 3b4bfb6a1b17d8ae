"""Whose a workflow is: documents that came through a door belong to who sent them, the operator's are everybody's.

What belongs to somebody has a record of its kind under its name, and no workflow of theirs without one any more.
"""

from typing import TYPE_CHECKING, Final

from stepwell.core.errors import WorkflowNotFoundError
from stepwell.core.history import RunCreated
from stepwell.store.model import STEADY, Definition
from stepwell.store.port import Documents

if TYPE_CHECKING:
    from stepwell.engine.engine import Engine

OWNED: Final = STEADY
"""Kinds of workflows that come through doors; the others are those of files and of Python."""


async def owner_of(store: Documents, definition: Definition) -> str | None:
    """Whose a workflow is; None: the operator's. Raises `WorkflowNotFoundError` for one that was deleted."""
    if definition.kind not in OWNED:
        return None
    for record in await store.get_records(definition.kind, id=definition.name):
        return record.owner
    raise WorkflowNotFoundError(definition.name)


async def check_child(engine: "Engine", parent_id: str, workflow: str, version: str) -> None:
    """That a run may start a run of this workflow: whoever wrote the parent's document must have it too.

    Else a document could run, and read, what belongs to somebody else. The parent's author counts and not who started
    it, so that an admin who runs another's document gets its children. Raises `WorkflowNotFoundError`.
    """
    author = await _author(engine, parent_id)
    if not author:
        return
    child = await engine.workflows.find(workflow, version)
    if await owner_of(engine.store, child) not in (None, author):
        raise WorkflowNotFoundError(workflow, version or None)


async def _author(engine: "Engine", run_id: str) -> str:
    """Who wrote the document of a run; "" for the operator, and for who sits at this machine: both see everything."""
    created = (await engine.store.events(run_id, 0, 1))[:1]
    if not created or not isinstance(created[0], RunCreated):
        return ""
    definition = await engine.store.find_definition(digest=created[0].definition)
    try:
        return "" if definition is None else await owner_of(engine.store, definition) or ""
    except WorkflowNotFoundError:  # deleted while it runs: then whose run it is
        return created[0].owner
