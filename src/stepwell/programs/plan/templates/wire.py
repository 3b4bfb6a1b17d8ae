"""The parts of a template document. Their fields are the properties that exist; a property that is null is not there.

What may hold `{{ path }}` is `Any`, or text where only text makes sense.
"""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from msgspec import UNSET, field

from stepwell.core.approvals import MAX_TIMEOUT_S
from stepwell.programs.flow.binding import Part, Reader, reader_of
from stepwell.programs.flow.check import Broken, Check, describe
from stepwell.programs.plan.model import VariableType

P = TypeVar("P", bound=Part)


def read_part(kind: type[P], value: Any, at: str, check: Check) -> P | Broken:
    """One object of a document, without the properties that are null."""
    if isinstance(value, dict):
        value = {name: item for name, item in value.items() if item is not None}
    found: P | Broken = reader_of(kind)(value, at, check)
    return found


def part(kind: type[Part]) -> Reader:
    """`read_part` as the reader of a property."""
    return partial(read_part, kind)


def within(least: float, most: float, expected: str, *, above: bool = False, whole: bool = False) -> Reader:
    """A number between two others; `above`: the least itself is too small."""

    def read(value: Any, at: str, check: Check) -> Any:
        right_kind = isinstance(value, int | float) and not isinstance(value, bool)
        fits = right_kind and least <= value <= most and not (above and value == least)
        if fits and (not whole or float(value).is_integer()):
            return int(value) if whole else value
        return check.fault(at, f"expected {expected}, found {describe(value)}")

    return read


def _or_template(reader: Reader) -> Reader:
    """What a reader takes, or a text with `{{ }}` that gives it when the step begins."""

    def read(value: Any, at: str, check: Check) -> Any:
        return value if isinstance(value, str) and "{{" in value else reader(value, at, check)

    return read


_SECONDS = within(0, MAX_TIMEOUT_S, "a number of seconds above 0", above=True)
Seconds = Annotated[float, _SECONDS]
SomeSeconds = Annotated[Any, _or_template(_SECONDS)]
"""Seconds, or a text that gives them."""
WaitSeconds = Annotated[Any, _or_template(within(0, MAX_TIMEOUT_S, "a number of seconds"))]
Count = Annotated[int, within(1, 1_000_000, "a whole number of 1 or more", whole=True)]
Texts = tuple[str, ...]


class Variable(Part, frozen=True, kw_only=True):
    """An input. `secret` hides a value of another type than `secret`."""

    name: str
    type: VariableType = "string"
    required: bool = False
    description: str = ""
    default: Any = UNSET
    enum: tuple[Any, ...] | None = None
    pattern: str | None = None
    secret: bool = False


class Retry(Part, frozen=True, kw_only=True):
    """Times are in milliseconds; `retry_on` has the codes of the only errors worth another attempt."""

    max_attempts: Annotated[int, within(1, 1000, "a whole number from 1 to 1000", whole=True)] = 3
    backoff: Literal["constant", "linear", "exponential"] = "exponential"
    initial_ms: Annotated[float, within(0, 1000 * MAX_TIMEOUT_S, "a number of milliseconds")] = 1000.0
    multiplier: Annotated[float, within(1, 1000, "a number from 1 to 1000")] = 2.0
    max_ms: Annotated[float, within(0, 1000 * MAX_TIMEOUT_S, "a number of milliseconds")] = 60_000.0
    jitter: Annotated[float, within(0, 1, "a number from 0 to 1")] = 0.2
    retry_on: Texts | None = None


class Step(Part, frozen=True, kw_only=True):
    """A step around its `config`, which is read by its type."""

    type: Literal["task", "wait", "approval", "callback", "condition", "foreach", "subworkflow", "agent"]
    key: str | None = None
    name: str | None = None
    depends_on: Texts | None = None
    config: Any = None
    retry: Annotated[Retry, part(Retry)] | None = None
    timeout_seconds: Seconds | None = None
    heartbeat_timeout_seconds: Seconds | None = None
    on_error: str = "fail"
    when: str | None = None
    output_schema: Any = None
    compensate: Any = None


class HttpConfig(Part, frozen=True, kw_only=True):
    """`action: http.request`. `agent_id` is known to be there and to be null: there are no agents to choose."""

    action: str
    url: str
    method: str = "GET"
    headers: Any = None
    query: Any = None
    body: Any = None


class FunctionConfig(Part, frozen=True, kw_only=True):
    """`action: function`."""

    action: str
    function: str
    args: Any = None


class WaitConfig(Part, frozen=True, kw_only=True):
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("seconds", "until")

    seconds: WaitSeconds | None = None
    until: str | None = None


class Approvers(Part, frozen=True, kw_only=True):
    users: Texts = ()
    roles: Texts = ()


class ApprovalConfig(Part, frozen=True, kw_only=True):
    prompt: str = ""
    title: str = ""
    schema: Any = None
    context: Any = None
    approvers: Annotated[Approvers, part(Approvers)] | None = None
    required: Count = 1
    timeout_seconds: SomeSeconds | None = None
    on_timeout: str = "fail"
    escalate_to: Annotated[Approvers, part(Approvers)] | None = None
    allow_self_approval: bool = True


class CallbackConfig(Part, frozen=True, kw_only=True):
    url: str | None = None
    payload: Any = None
    timeout_seconds: SomeSeconds | None = None


class ConditionConfig(Part, frozen=True, kw_only=True):
    if_: str = field(name="if")
    then: Texts = ()
    else_: Texts = field(name="else", default=())


class ForEachConfig(Part, frozen=True, kw_only=True):
    items: Any
    steps: tuple[Any, ...]
    max_parallel: Count | None = None


class SubWorkflowConfig(Part, frozen=True, kw_only=True):
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("template_id", "workflow_id")

    template_id: str | None = None
    workflow_id: str | None = None
    input: Any = None


class AgentConfig(Part, frozen=True, kw_only=True):
    prompt: str
    system: str | None = None
    model: str | None = None
    tools: Texts = ()
    max_turns: Count = 10
    output_schema: Any = None


class Template(Part, frozen=True, kw_only=True):
    """The document. Variables and steps are read one by one; `id`, `status` and `version` are the server's word."""

    name: str
    steps: tuple[Any, ...]
    variables: tuple[Any, ...] = ()
    description: str = ""
    output: Any = UNSET
    timeout_seconds: Seconds | None = None
    max_parallel: Count | None = None
    additional_variables: bool = False
    env: Any = None
    compensate_on: tuple[Literal["failure"], ...] = ()
    id: Any = None
    status: Any = None
    version: Any = None
