"""The workflows an engine knows: definitions in the store, and the programs they compile to, each compiled once."""

import hashlib
from collections.abc import Sequence

from stepwell.core.errors import StepwellError, WorkflowNotFoundError
from stepwell.core.program import Compiled, Programs
from stepwell.store.port import Definition, Documents


class Workflows:
    """Finds the definition to start, and the program of a run."""

    def __init__(self, store: Documents, kinds: Sequence[Programs]) -> None:
        self._store = store
        self._kinds = {programs.kind: programs for programs in kinds}
        self._compiled: dict[str, Compiled] = {}
        self._known: dict[tuple[str, str], Definition] = {}

    async def save(self, *, kind: str, name: str, version: str, text: str, now: float) -> Definition:
        """Check a definition, keep it, and make it the newest of its name. The same text again is the same one.

        Raises `InvalidDefinitionError` with every fault found.
        """
        digest = hashlib.sha256(f"{kind}\n{name}\n{version}\n{text}".encode()).hexdigest()[:32]
        definition = Definition(digest=digest, kind=kind, name=name, version=version, text=text, created_at=now)
        self._compile(definition)
        newest = await self._store.find_definition(name=name)
        if newest is None or newest.digest != digest:
            await self._store.save_definition(definition)
        self._known[name, ""] = self._known[name, version] = definition
        return definition

    async def find(self, name: str, version: str = "") -> Definition:
        """The definition to start: the newest of that name, or of that version. Raises `WorkflowNotFoundError`."""
        known = self._known.get((name, version))
        if known is not None:
            return known
        found = await self._store.find_definition(name=name, version=version)
        if found is None:
            raise WorkflowNotFoundError(name, version or None)
        return found

    async def compiled(self, digest: str) -> Compiled:
        """A stored definition, ready to run."""
        compiled = self._compiled.get(digest)
        if compiled is not None:
            return compiled
        definition = await self._store.find_definition(digest=digest)
        if definition is None:
            raise StepwellError(f"the store has no definition {digest}")
        return self._compile(definition)

    def _compile(self, definition: Definition) -> Compiled:
        compiled = self._compiled.get(definition.digest)
        if compiled is None:
            kind = self._kinds.get(definition.kind)
            if kind is None:
                raise StepwellError(
                    f"{definition.name} is a {definition.kind} workflow, which this server cannot run"
                )
            compiled = self._compiled[definition.digest] = kind.compile(definition.text)
        return compiled
