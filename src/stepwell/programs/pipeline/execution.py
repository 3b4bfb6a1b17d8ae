"""One execution of a pipeline while it runs: its payload, its state, its randomness and its clock.

An execution reads no clock and draws no randomness of its own: both are functions of its run, its number and how long
it has waited, so that an execution that is run again sends the same messages.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from stepwell.programs.pipeline.faults import PathNotFoundError

_SPREAD: Final = 1 << 32
"""More than there are executions: the seeds of two runs do not meet."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def seed_of(text: str) -> int:
    """A seed in numbers; to be computed once for all executions of a run."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16], "big")


class Execution:
    """`started_at` is the instant (seconds since the epoch, UTC) that its clock begins at."""

    __slots__ = (
        "_random",
        "_seed",
        "headers",
        "index",
        "key",
        "last",
        "meta",
        "output_events",
        "payload",
        "sent",
        "stages",
        "started_at",
        "state",
        "waited_s",
        "workflow_id",
    )

    def __init__(self, *, workflow_id: str, seed: int, index: int, started_at: float) -> None:
        self.workflow_id = workflow_id
        self.index = index
        self._seed = seed
        self._random: Random | None = None
        self.started_at = started_at
        self.waited_s = 0.0
        self.payload: dict[str, Any] = {}
        self.headers: dict[str, Any] = {}
        self.key: str | None = None
        self.state: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None
        self.meta: dict[str, Any] = {}
        self.output_events: list[Any] = []
        self.stages: dict[str, Any] = {}
        self.sent = 0
        """Messages so far: the number of the next one is one more."""

    @property
    def random(self) -> Random:
        """The randomness of this execution: the same each time that it is run. Made when it is first wanted."""
        if self._random is None:
            self._random = Random(self._seed * _SPREAD + self.index)
        return self._random

    def now(self) -> float:
        """Seconds since the epoch: the start and what was waited since."""
        return self.started_at + self.waited_s

    def instant(self) -> str:
        """The same as ISO 8601 text in UTC."""
        return iso(self.now())

    def uuid(self) -> str:
        """A version 4 UUID (RFC 9562 §5.4) of this execution's own randomness."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

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
                return self.meta
            case "context":
                return {}
            case "workflowId":
                return self.workflow_id
            case "outputEvents":
                return self.output_events
            case "stages":
                return self.stages
        raise PathNotFoundError(name)


def iso(at: float) -> str:
    """ISO 8601 in UTC with microseconds where there are any."""
    return (_EPOCH + timedelta(seconds=at)).isoformat().replace("+00:00", "Z")


def copied(value: Any) -> Any:
    """A JSON value that shares nothing with the original."""
    if type(value) is dict:
        return {name: copied(member) for name, member in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value


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
