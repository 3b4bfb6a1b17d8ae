"""The workflows an engine knows: definitions in the store, and the programs they compile to, each compiled once."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from typing import Final

from stepwell.core.errors import StepwellError, WorkflowNotFoundError
from stepwell.core.program import Compiled, Programs
from stepwell.engine.ids import canonical_uuid, workflow_uuid
from stepwell.store.model import Definition
from stepwell.store.port import Documents

STORED_KEPT: Final = 1_000
LOOK_AGAIN_S: Final = 5.0
"""How soon names are looked through again for an id that was not among them."""


class Workflows:
    """Finds the definition to start, and the program of a run."""

    def __init__(self, store: Documents, kinds: Sequence[Programs]) -> None:
        self._store = store
        self._kinds = {programs.kind: programs for programs in kinds}
        self._compiled: dict[str, Compiled] = {}
        self._stored: dict[str, Definition] = {}
        self._known: dict[tuple[str, str], Definition] = {}
        self._names: dict[str, str] = {}
        """The UUIDs of workflows to their names."""
        self._look_again_at = 0.0

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
        self._names |= _named_by_uuid([name])
        return definition

    def check(self, kind: str, text: str) -> Compiled:
        """A definition as it would be saved. Raises `InvalidDefinitionError` with every fault found."""
        return self._kind(kind).compile(text)

    async def find(self, name: str, version: str = "") -> Definition:
        """The definition to start: the newest of that name, or of that version. Raises `WorkflowNotFoundError`."""
        known = self._known.get((name, version))
        if known is not None:
            return known
        found = await self._store.find_definition(name=name, version=version)
        if found is None and (other := await self.named(name)) is not None:
            return await self.find(other, version)
        if found is None:
            raise WorkflowNotFoundError(name, version or None)
        return found

    async def named(self, id: str) -> str | None:
        """The name of the workflow whose UUID this is, where the name is another text; None when there is none.

        Those names are the operator's, and few: they are looked through, at most once in a while for unknown ids.
        """
        if id not in self._names and canonical_uuid(id) is not None and time.monotonic() >= self._look_again_at:
            self._names = _named_by_uuid(definition.name for definition in await self._store.list_definitions())
            self._look_again_at = time.monotonic() + LOOK_AGAIN_S
        return self._names.get(id)

    async def stored(self, digest: str) -> Definition | None:
        """A definition as it was saved, which never changes: read once, the last thousand of them."""
        found = self._stored.get(digest)
        if found is None:
            found = await self._store.find_definition(digest=digest)
            if found is not None:
                if len(self._stored) >= STORED_KEPT:
                    del self._stored[next(iter(self._stored))]
                self._stored[digest] = found
        return found

    async def compiled(self, digest: str) -> Compiled:
        """A stored definition, ready to run."""
        compiled = self._compiled.get(digest)
        if compiled is not None:
            return compiled
        definition = await self.stored(digest)
        if definition is None:
            raise StepwellError(f"the store has no definition {digest}")
        return self._compile(definition)

    def _compile(self, definition: Definition) -> Compiled:
        compiled = self._compiled.get(definition.digest)
        if compiled is None:
            compiled = self._compiled[definition.digest] = self._kind(definition.kind).compile(definition.text)
        return compiled

    def _kind(self, name: str) -> Programs:
        kind = self._kinds.get(name)
        if kind is None:
            raise StepwellError(f"expected a kind of workflow that this server can run, found {name!r}")
        return kind


def _named_by_uuid(names: Iterable[str]) -> dict[str, str]:
    """UUID to name, of those whose name is no UUID."""
    return {id: name for name in names if (id := workflow_uuid(name)) != name}
