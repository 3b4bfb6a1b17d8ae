"""The state of a hosted run: one live store, as in the original; a write is noted by the invocation that made it."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from stepwell.programs.code.codec import Codec, NotKeptError, plain
from stepwell.programs.code.patches import Operation, Patch, apply_all
from stepwell.programs.code.seam import InMemoryStateStore, StateCheckpoint

Note = Callable[[Sequence[Operation]], None]


class HostedStore(InMemoryStateStore[Any]):
    """Reads and writes as the original's; every write is noted before it is seen, or refused."""

    def __init__(self, state: BaseModel, *, codec: Codec, note: Note) -> None:
        super().__init__(state)
        self._serializer = self._trees = codec.serializer
        self._note = note

    async def _write_state(self, state: BaseModel, storage: Any = None) -> None:
        operations = StateCheckpoint(state, self._trees).diff(self.checkpoint())
        try:
            operations = plain(operations)
        except NotKeptError as fault:
            raise NotKeptError(f"the state cannot be kept: {fault}") from None
        if operations:
            self._note(operations)
        await super()._write_state(state, storage)


def rebuilt(state: BaseModel, patches: Sequence[Patch], codec: Codec) -> BaseModel:
    """A state with recorded writes on it."""
    if not patches:
        return state
    tree = apply_all(StateCheckpoint(state, codec.serializer).to_dict(), patches)
    found: BaseModel = InMemoryStateStore.from_dict(tree, codec.serializer).checkpoint().state
    return found
