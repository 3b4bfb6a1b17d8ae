"""A compiled pipeline: what its executions run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stepwell.programs.pipeline.conditions import Condition
from stepwell.programs.pipeline.destinations import Destination
from stepwell.programs.pipeline.encoding import Encoding
from stepwell.programs.pipeline.expecting import Expectation
from stepwell.programs.pipeline.paths import Value
from stepwell.programs.pipeline.querying import Query
from stepwell.programs.pipeline.values import Assign


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """How often the pass of a stage runs: at most `most` times, while `goes_on` and until `ends`."""

    most: int
    goes_on: Condition | None = None
    ends: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`emits` is None for a stage that never does. `wait_s` follows each pass."""

    name: str
    id: str
    """What the ids of its steps begin with: `<slug>-<number>`."""
    follows: bool
    """Whether there is a stage before it."""
    source: Literal["none", "previous-stage"]
    loop: Loop | None
    query: Query | None
    assigns: tuple[Assign, ...]
    emits: Condition | Literal[True] | None
    headers: Mapping[str, Value]
    key: Value | None
    encoding: Encoding | None
    destination: Destination
    topic: str
    exchange: str
    routing_key: str
    content_type: str
    """What each of its messages carries."""
    unsendable: str
    """Why it cannot send what it emits; empty when it can."""
    wait_s: float
    expect: Expectation | None
    plain: bool
    """Whether one pass without anything to wait for is all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """`reads` are the roots that anything in it refers to; what nobody reads need not be kept."""

    id: str
    destination: Destination
    executions: int
    seed: str | None
    rate: float | None
    """Messages per second of the whole run; None for as fast as it goes."""
    concurrency: int
    waits_for_broker: bool
    """Whether a message that the broker cannot take now is sent again without an end."""
    state: tuple[Assign, ...]
    stages: tuple[Stage, ...]
    reads: frozenset[str]
    document: Any = None
