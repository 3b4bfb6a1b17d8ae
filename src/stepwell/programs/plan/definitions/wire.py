"""The parts of a definition document that are others than those of a template. Lengths of time are ISO 8601."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, field

from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.check import Check, describe
from stepwell.programs.flow.model.durations import seconds_of
from stepwell.programs.plan.templates.wire import Count, Texts, part, within


def _read_length(value: Any, at: str, check: Check) -> Any:
    found = seconds_of(value) if isinstance(value, str) else None
    if found is None or found <= 0:
        return check.fault(at, f"expected a length of time like 'PT30S' (ISO 8601), found {describe(value)}")
    return found


Length = Annotated[float, _read_length]
"""ISO 8601 text, in seconds."""


class Input(Part, frozen=True, kw_only=True):
    """A declared input. `accept` has the media types (or endings) of a file."""

    name: str
    type: Literal["string", "number", "boolean", "file", "file[]", "array", "object"] = "string"
    label: str = ""
    description: str = ""
    required: bool = False
    default: Any = UNSET
    enum: tuple[Any, ...] | None = None
    pattern: str | None = None
    accept: Texts = ()
    secret: bool = False


class Env(Part, frozen=True, kw_only=True):
    """A declared env, with its own value until another is given."""

    name: str
    value: str = ""
    secret: bool = False


class Retry(Part, frozen=True, kw_only=True):
    """`retryOn` has the codes of the only errors worth another attempt."""

    max_attempts: Annotated[int, within(1, 1000, "a whole number from 1 to 1000", whole=True)] = field(
        name="maxAttempts", default=3
    )
    backoff: Literal["constant", "linear", "exponential"] = "exponential"
    initial_s: Length = field(name="initialInterval", default=1.0)
    multiplier: Annotated[float, within(1, 1000, "a number from 1 to 1000")] = 2.0
    max_s: Length = field(name="maxInterval", default=60.0)
    jitter: Annotated[float, within(0, 1, "a number from 0 to 1")] = 0.2
    retry_on: Texts | None = field(name="retryOn", default=None)


class Step(Part, frozen=True, kw_only=True):
    """A step around its `inputs`, which are read by its type. `action` of an activity may stand in them too."""

    type: Literal["activity", "wait", "human_review", "callback", "condition", "foreach", "subworkflow", "agent"]
    id: str | None = None
    name: str | None = None
    service: str | None = None
    action: str | None = None
    depends_on: Texts | None = field(name="dependsOn", default=None)
    inputs: Any = field(default_factory=dict)
    condition: str | None = None
    retry: Annotated[Retry, part(Retry)] | None = None
    timeout_s: Length | None = field(name="timeout", default=None)
    heartbeat_s: Length | None = field(name="heartbeat", default=None)
    on_error: str = field(name="onError", default="fail")
    output_schema: Any = field(name="outputSchema", default=None)
    compensate: Any = None
    emit_thinking: bool = field(name="emitThinking", default=True)


class Definition(Part, frozen=True, kw_only=True):
    """The document. Inputs, envs and steps are read one by one."""

    name: str
    steps: tuple[Any, ...]
    inputs: tuple[Any, ...] = ()
    envs: tuple[Any, ...] = ()
    description: str = ""
    services: Texts = ()
    output: Any = UNSET
    timeout_s: Length | None = field(name="timeout", default=None)
    max_parallel: Count | None = field(name="maxParallel", default=None)
