"""One execution of a pipeline while it runs: its payload, its state, its randomness and its clock.

An execution reads no clock and draws no randomness of its own: both are functions of its run, its number and how long
it has waited, so that an execution that is run again sends the same messages.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec

from stepwell.programs.pipeline.chance import BLOCK_BITS, Chance, Seed
from stepwell.programs.pipeline.faults import PathNotFoundError, RuleError

MAX_COPIED: Final = 300_000
"""Values that one pass of a stage may copy and make: a document could double what it has with every pass."""
VALUES_AT_A_STRETCH: Final = 50_000
"""That are copied and made before others get their turn."""
MAX_DEPTH: Final = 100
"""Of what is copied."""
SHORT: Final = 1_000
"""Characters of a text that counts as one value."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What the executions of a range have in common.

    `started_at` is the instant (seconds since the epoch, UTC) that their clocks begin at. `simulated`: nothing that
    they ask for is done. `trace` is the header that their messages carry, unless they have one of their own.
    """

    workflow_id: str
    run_id: str
    seed: Seed
    started_at: float
    simulated: bool = False
    trace: tuple[tuple[str, bytes], ...] = ()

    def execution(self, index: int) -> "Execution":
        """The execution of that number."""
        return Execution(self, index, Chance(self.seed, index << BLOCK_BITS))


class Memory(msgspec.Struct):
    """What an execution keeps of its earlier passes, for paths to refer to."""

    meta: dict[str, Any] = {}
    output_events: list[Any] = []
    stages: dict[str, Any] = {}


class Execution(msgspec.Struct, gc=False):
    """Made by `Origin.execution`, for every message or few: what most do not have, they make when they need it."""

    origin: Origin
    index: int
    chance: Chance
    waited_s: float = 0.0
    payload: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    key: str | None = None
    state: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    _memory: Memory | None = None
    left: int = MAX_COPIED
    """What may still be copied and made in this pass."""
    copied_since: int = 0
    """Values of earlier passes, since others had their turn."""
    sent: int = 0
    """Messages so far: the number of the next one is one more."""

    @property
    def memory(self) -> Memory:
        """What it keeps."""
        if self._memory is None:
            self._memory = Memory()
        return self._memory

    def begin_pass(self) -> bool:
        """After a pass that copied something: let the next copy as much as one may. Says whether others should get
        their turn first.
        """
        self.copied_since += MAX_COPIED - self.left
        self.left = MAX_COPIED
        if self.copied_since <= VALUES_AT_A_STRETCH:
            return False
        self.copied_since = 0
        return True

    def spend(self, values: int) -> None:
        """Count values that are copied or made. Raises `RuleError` for more than a pass may have."""
        self.left -= values
        if self.left < 0:
            raise RuleError(f"a pass of a stage may copy and make at most {MAX_COPIED} values")

    def count(self, value: Any) -> Any:
        """A value that was made, counted."""
        if type(value) is list:
            self.spend(len(value))
        elif type(value) is str and len(value) > SHORT:
            self.spend(len(value) // 32)
        return value

    def copied(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        """A JSON value that shares nothing with the original, counted. Raises `RuleError`."""
        if type(value) is not dict and type(value) is not list:
            return self.count(value)
        if not depth:
            raise RuleError(f"objects and arrays may lie at most {MAX_DEPTH} deep in each other")
        self.spend(len(value) + 1)
        if type(value) is dict:
            return {name: self.copied(member, depth - 1) for name, member in value.items()}
        return [self.copied(item, depth - 1) for item in value]

    def now(self) -> float:
        """Seconds since the epoch: the start and what was waited since."""
        return self.origin.started_at + self.waited_s

    def instant(self) -> str:
        """The same as ISO 8601 text in UTC."""
        return iso(self.origin.started_at + self.waited_s)

    def root(self, name: str) -> Any:
        """What a path can begin with. Raises `PathNotFoundError`."""
        match name:
            case "state" if self.state is not None:
                return self.state
            case "currentEvent":
                return self.payload
            case "currentEventHeaders":
                return self.headers
            case "currentEventKey" if self.key is not None:
                return self.key
            case "lastAppendedEvent" if self.last is not None:
                return self.last
            case "meta":
                return self.memory.meta
            case "context":
                return {}
            case "workflowId":
                return self.origin.workflow_id
            case "outputEvents":
                return self.memory.output_events
            case "stages":
                return self.memory.stages
        raise PathNotFoundError(name)


@lru_cache(maxsize=1024)  # the clocks of a thousand executions stand at the same instant
def iso(at: float) -> str:
    """ISO 8601 in UTC with microseconds where there are any."""
    return (_EPOCH + timedelta(seconds=at)).isoformat().replace("+00:00", "Z")


def put(target: dict[str, Any], path: tuple[str, ...], value: Any, *, clash: str) -> None:
    """Assign under a dotted path and make the objects in between. `clash` names the path's root in the error."""
    for depth, name in enumerate(path[:-1], 1):
        inner = target.setdefault(name, {})
        if not isinstance(inner, dict):
            from_root = ".".join((clash, *path[:depth]))
            raise ObjectExpectedError(from_root)
        target = inner
    target[path[-1]] = value


def found(tree: Any, path: tuple[str, ...]) -> Any:
    """What lies under a path of names (or numbers, in arrays). Raises `KeyError`."""
    for name in path:
        if isinstance(tree, Mapping):
            tree = tree[name]
        elif isinstance(tree, list) and name.isdecimal() and int(name) < len(tree):
            tree = tree[int(name)]
        else:
            raise KeyError(name)
    return tree


class ObjectExpectedError(PathNotFoundError):
    """A path that leads through something that is no object."""

    def __str__(self) -> str:
        return f"State path is not an object: {self.path}"
