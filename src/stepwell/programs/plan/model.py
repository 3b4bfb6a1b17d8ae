"""The typed plan: what every document of steps is compiled into, and what the runner runs.

A value that may hold `{{ path }}` is kept as the document has it (`Templated`); `checking.py` has looked at all of
them before a plan runs. Faults and errors name a place by its JSON pointer in the document that the plan came from.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from stepwell.core.retry import RetryPolicy

Templated = Any
"""Any JSON value; texts in it may hold `{{ path }}`."""

VariableType = Literal[
    "string",
    "integer",
    "number",
    "boolean",
    "array",
    "object",
    "date-time",
    "uri",
    "file",
    "file[]",
    "secret",
]
CompensateOn = Literal["failure"]

MAX_STEPS = 500
"""Steps of a plan, those inside a `foreach` counted once."""
MAX_ITEMS = 10_000
"""Items that one `foreach` goes through."""
ENV_INPUT = "$env"
"""The member of a run's input under which a door hands over values that win over `Plan.env`: names to texts. It is
never shown, and nobody can declare a variable of this name."""


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A declared input. `default` is UNSET when there is none; `enum` lists the only values allowed."""

    name: str
    type: VariableType = "string"
    required: bool = False
    default: Any = msgspec.UNSET
    enum: tuple[Any, ...] | None = None
    pattern: str | None = None
    """A regular expression that a text must match somewhere."""
    description: str = ""
    label: str = ""
    accept: tuple[str, ...] = ()
    """Content types of a file."""
    hidden: bool = False
    """Never shown, whatever its type."""

    @property
    def secret(self) -> bool:
        """Whether its value must not be seen anywhere."""
        return self.hidden or self.type == "secret"


class Env(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the plan itself, read as `env.<name>`; `secret` hides it like a secret input."""

    name: str
    value: str = ""
    secret: bool = False


# --- what a step does -----------------------------------------------------------------------------------------------


class HttpTask(msgspec.Struct, frozen=True, kw_only=True, tag="http"):
    """An HTTP request. Output `{status, headers, body}`."""

    url: Templated
    method: Templated = "GET"
    headers: Templated = None
    query: Templated = None
    body: Templated = None


class FunctionTask(msgspec.Struct, frozen=True, kw_only=True, tag="function"):
    """A registered Python function, by name. `args` gives its keyword arguments."""

    function: str
    args: Templated = None


class Wait(msgspec.Struct, frozen=True, kw_only=True, tag="wait"):
    """Time to pass: one of `seconds` (fractions allowed) and `until` (ISO 8601)."""

    seconds: Templated = None
    until: Templated = None


class Approval(msgspec.Struct, frozen=True, kw_only=True, tag="approval"):
    """People decide. Output `{decision, comment, data}`.

    `approvers` and `escalate_to` are as in `core.approvals.ApprovalRequest`; `timeout_s` defaults to the step's own.
    `on_timeout` is fail, reject, approve, escalate or `goto:<key>`.
    """

    prompt: Templated = ""
    title: Templated = ""
    schema: Any = None
    context: Templated = None
    approvers: tuple[str, ...] = ()
    required: int = 1
    timeout_s: Templated = None
    on_timeout: str = "fail"
    escalate_to: tuple[str, ...] = ()
    allow_self_approval: bool = True


class Callback(msgspec.Struct, frozen=True, kw_only=True, tag="callback"):
    """Hands out a token, POSTs it to `url` if there is one, and waits for who comes back with it."""

    url: Templated = None
    payload: Templated = None
    timeout_s: Templated = None


class Condition(msgspec.Struct, frozen=True, kw_only=True, tag="condition"):
    """`test` is jq text over `{input, steps, env}`; the steps of the list not taken are skipped.

    Output `{"result": true, "branch": "then"}`.
    """

    test: str
    then: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()


class ForEach(msgspec.Struct, frozen=True, kw_only=True, tag="foreach"):
    """`steps` for each of `items`, which they see as `item` and `index`; at most `max_parallel` items at once.

    Output: a list of what the steps gave, in the order of the items (each: the output of the last step).
    """

    items: Templated
    steps: tuple["PlanStep", ...]
    max_parallel: int | None = None


class SubWorkflow(msgspec.Struct, frozen=True, kw_only=True, tag="subworkflow"):
    """A child run of the newest version of `workflow` (the engine's name for it). Output: the child's."""

    workflow: str
    input: Templated = None


class Agent(msgspec.Struct, frozen=True, kw_only=True, tag="agent"):
    """A language model that may call `tools` (registered functions), for at most `max_turns` answers.

    Output: its last text; with `output_schema` the JSON value that this text is.
    """

    prompt: Templated
    system: Templated = None
    model: Templated = None
    tools: tuple[str, ...] = ()
    max_turns: int = 10
    output_schema: Any = None


Task = HttpTask | FunctionTask
Action = Task | Wait | Approval | Callback | Condition | ForEach | SubWorkflow | Agent


# --- steps and plans ------------------------------------------------------------------------------------------------


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """How a document calls what a step has, where pointers lead there; the defaults are those of templates."""

    key: str = "key"
    config: str = "config"
    depends_on: str = "depends_on"
    on_error: str = "on_error"
    when: str = "when"
    output_schema: str = "output_schema"
    compensate: str = "compensate"
    output: str = "output"
    variables: str = "variables"
    env: str = "env"
    fields: Mapping[str, str] = msgspec.field(
        default_factory=lambda: {
            "timeout_s": "timeout_seconds",
            "test": "if",
            "otherwise": "else",
            "workflow": "template_id",
        }
    )
    """Of an action's fields those that are called otherwise."""

    def field(self, name: str) -> str:
        return self.fields.get(name, name)


TEMPLATE_WORDS = Words()


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step. `key` is unique in its plan and holds no `/`, `@`, `~` or `^`: it starts the keys of the history.

    `on_error`: `fail` (the others are cancelled), `wait` (the others end first), `continue` (output null, the error
    visible) or `goto:<key>` of a step behind it. `when` is jq text over `{input, steps, env}` (in a `foreach` also
    `item` and `index`): the step is skipped unless it holds. Times are in seconds.
    """

    key: str
    name: str
    at: str
    action: Action
    depends_on: tuple[str, ...] | None = None
    """None: the document does not say. An empty list says that it waits for nothing."""
    retry: RetryPolicy | None = None
    """None: a function's own policy, else one attempt."""
    retry_on: tuple[str, ...] | None = None
    """Codes of the only errors worth another attempt (`timeout`, `network`, `http_5xx`, `http_429`, ...)."""
    timeout_s: float | None = None
    heartbeat_timeout_s: float | None = None
    on_error: str = "fail"
    when: str | None = None
    output_schema: Any = None
    compensate: Task | None = None
    """What undoes the step once it has completed."""

    @property
    def goto(self) -> str | None:
        """The key that an error leads to, if one does."""
        return self.on_error.removeprefix("goto:") if self.on_error.startswith("goto:") else None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole plan. When no step says what it depends on they run in the order of the list.

    `output` UNSET: the output of the last step in the list that completed.
    """

    name: str
    steps: tuple[PlanStep, ...]
    output: Templated = msgspec.UNSET
    timeout_s: float | None = None
    max_parallel: int | None = None
    variables: tuple[Variable, ...] = ()
    additional_variables: bool = False
    """Whether inputs that are not declared are taken."""
    env: tuple[Env, ...] = ()
    compensate_on: tuple[CompensateOn, ...] = ()
    """When steps are undone without being asked to; on cancel and roll-back they are when the command says so."""
    words: Words = TEMPLATE_WORDS

    def variable(self, name: str) -> Variable | None:
        return next((variable for variable in self.variables if variable.name == name), None)

    @property
    def secret_inputs(self) -> tuple[str, ...]:
        """Names of the inputs that are never shown."""
        return tuple(variable.name for variable in self.variables if variable.secret)


def walk(steps: tuple[PlanStep, ...]) -> Iterator[PlanStep]:
    """Every step, those inside a `foreach` after it."""
    for step in steps:
        yield step
        if isinstance(step.action, ForEach):
            yield from walk(step.action.steps)


def with_retry(step: PlanStep, like: PlanStep) -> PlanStep:
    """A step that is tried again like another one."""
    return msgspec.structs.replace(step, retry=like.retry, retry_on=like.retry_on)


TYPE_NAMES: Mapping[type, str] = {
    HttpTask: "task",
    FunctionTask: "task",
    Wait: "wait",
    Approval: "approval",
    Callback: "callback",
    Condition: "condition",
    ForEach: "foreach",
    SubWorkflow: "subworkflow",
    Agent: "agent",
}
"""The type of a step as templates name it."""
