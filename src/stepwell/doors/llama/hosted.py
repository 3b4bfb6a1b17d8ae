"""The workflows that this API can run, by name: what the operator has loaded, and the caller's pipelines.

Templates and definitions are not among them: they are known by their UUIDs, and are at home in other doors.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import WorkflowNotFoundError
from stepwell.core.principal import Principal
from stepwell.core.program import Compiled
from stepwell.core.typed import TypedWorkflow
from stepwell.doors.llama.errors import WorkflowMissingError
from stepwell.doors.llama.plain import PlainWorkflow
from stepwell.engine import Engine
from stepwell.store.model import NAME_LABEL, Definition

PIPELINE: Final = "pipeline"
_SENT: Final = "pipeline:"
"""What the engine's names of pipelines that came through a door begin with; then their owner and `/`, if any."""
_ELSEWHERE: Final = ("template", "definition")


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow: what it is called here, its definition, and what it says of its events."""

    name: str
    definition: Definition
    face: Any  # a TypedWorkflow, which msgspec has no type for
    schema: Any = None
    """JSON Schema of the input, where nothing else checks it."""
    is_typed: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """Of its runs."""
        return {} if self.name == self.definition.name else {NAME_LABEL: self.name}


class Workflows:
    """The workflows of an engine, as one principal sees them."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine = engine
        self._principal = principal

    async def names(self) -> list[str]:
        """In the order in which they were first saved."""
        began: dict[str, float] = {}
        for definition in await self._engine.store.list_definitions():
            name = await self._name_of(definition)
            if name is not None and await self._compiled(definition) is not None:
                began[name] = min(definition.created_at, began.get(name, definition.created_at))
        return sorted(began, key=lambda name: began[name])

    async def find(self, name: str) -> Hosted:
        """The newest version of a workflow. Raises `WorkflowMissingError`."""
        for known_as in engine_names(self._principal, [name]):
            try:
                definition = await self._engine.workflows.find(known_as)
            except WorkflowNotFoundError:
                continue
            if await self._name_of(definition) == name and (compiled := await self._compiled(definition)) is not None:
                return hosted(name, definition, compiled)
        raise WorkflowMissingError

    async def _name_of(self, definition: Definition) -> str | None:
        """What the caller calls it; None when it is none of theirs to run here."""
        name = definition.name
        if definition.kind in _ELSEWHERE:
            return None
        if definition.kind != PIPELINE or not name.startswith(_SENT):
            return name
        for record in await self._engine.store.get_records(PIPELINE, id=name):
            if record.owner == self._principal.owner:
                return name.removeprefix(_before_id(self._principal))
        return None

    async def _compiled(self, definition: Definition) -> Compiled | None:
        """None of a Python workflow that is not registered any more."""
        try:
            return await self._engine.workflows.compiled(definition.digest)
        except InvalidDefinitionError:
            return None


def hosted(name: str, definition: Definition, compiled: Compiled) -> Hosted:
    """A definition as this API sees it."""
    typed: TypedWorkflow | None = compiled.typed
    if typed is not None:
        return Hosted(name=name, definition=definition, face=typed, is_typed=True)
    face = PlainWorkflow(name, definition, compiled)
    return Hosted(name=name, definition=definition, face=face, schema=compiled.input_schema)


def engine_names(principal: Principal, names: Iterable[str]) -> tuple[str, ...]:
    """What the engine may call workflows of these names."""
    return tuple(known_as for name in names for known_as in (name, f"{_before_id(principal)}{name}"))


def _before_id(principal: Principal) -> str:
    return f"{_SENT}{principal.owner}/" if principal.owner else _SENT
