"""Where a step runs: the facts of its run, the steps around it, and what its values may look up."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from stepwell.core.errors import Problem, code_of
from stepwell.core.program import RunContext, RunInfo
from stepwell.programs.agents.port import AgentRunner
from stepwell.programs.callbacks import CallbackTokens
from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.function_port import RegisteredFunction, RegisteredFunctions
from stepwell.programs.http import HttpClient
from stepwell.programs.plan.hiding import NO_VEIL, Veil, given_env, veil_of
from stepwell.programs.plan.inputs import complete_input
from stepwell.programs.plan.interpolation import fill
from stepwell.programs.plan.model import Plan, PlanStep

Names = Mapping[str, Any]
"""What `{{ }}` and jq texts see."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What plans are handed from outside; the types are Protocols, which msgspec has none for."""

    functions: Any = None
    http: Any = None
    expressions: Any = None
    callbacks: Any = None
    agents: Any = None
    no_agents: str = ""
    """Why agents cannot be asked from this installation: a plan that has one is then refused."""

    def find(self, function: str) -> RegisteredFunction | None:
        functions: RegisteredFunctions | None = self.functions
        return None if functions is None else functions.find(function)

    @property
    def client(self) -> HttpClient | None:
        found: HttpClient | None = self.http
        return found

    @property
    def tokens(self) -> CallbackTokens | None:
        found: CallbackTokens | None = self.callbacks
        return found

    @property
    def runner(self) -> AgentRunner | None:
        found: AgentRunner | None = self.agents
        return found


NO_SERVICES = Services()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended. `blocked`: it never began, since a step before it failed and the run will fail for it."""

    status: Literal["completed", "failed", "skipped", "blocked"]
    output: Any = None
    error: Problem | None = None
    at: float = 0.0
    forget: tuple[str, ...] = ()
    fatal: bool = False
    """Whether the run fails for it once the others have ended."""
    target: str = ""
    """Where its failure led to."""

    def shown(self) -> dict[str, Any]:
        """As values look it up under `steps.<key>`."""
        return {"status": self.status, "output": self.output, "error": error_value(self.error)}


SKIPPED = Outcome(status="skipped")
BLOCKED = Outcome(status="blocked")


def error_value(error: Problem | None) -> dict[str, Any] | None:
    """An error as plans see it."""
    if error is None:
        return None
    return {
        "code": code_of(error),
        "message": error.detail or error.title,
        "status": error.status,
        "data": error.data,
    }


class Facts:
    """What is the same all through a run: its input with defaults, its values, what hides its secrets."""

    __slots__ = ("env", "input", "plan", "run", "services", "veil")

    def __init__(self, plan: Plan, services: Services, run: RunInfo, input: Any) -> None:
        self.plan = plan
        self.services = services
        self.input = complete_input(plan, input)
        self.env = {variable.name: variable.value for variable in plan.env} | dict(given_env(input))
        self.veil = veil_of(plan, input) if plan.secret_inputs or plan.env else NO_VEIL
        self.run = run_value(plan, run)

    def names(self) -> dict[str, Any]:
        """What values look up everywhere."""
        return {"input": self.input, "inputs": self.input, "env": self.env, "run": self.run}


def run_value(plan: Plan, run: RunInfo) -> dict[str, Any]:
    """`run.<name>` in values."""
    created_at = datetime.fromtimestamp(run.created_at, UTC).isoformat(timespec="milliseconds")
    return {
        "id": run.id,
        "name": plan.name,
        "workflow": run.workflow,
        "version": run.version,
        "created_at": created_at.replace("+00:00", "Z"),
    }


RUN_NAMES = ("id", "name", "workflow", "version", "created_at")


class Place:
    """A step about to do something: its verbs, its key in the history, and what it may look up."""

    __slots__ = ("at", "config_at", "ctx", "facts", "key", "names", "step")

    def __init__(self, ctx: RunContext, facts: Facts, step: PlanStep, key: str, names: Names) -> None:
        self.ctx = ctx
        self.facts = facts
        self.step = step
        self.key = key
        self.names = names
        self.at = step.at
        self.config_at = f"{step.at}/{facts.plan.words.config}"

    @property
    def veil(self) -> Veil:
        return self.facts.veil

    def on(self, ctx: RunContext, key: str) -> "Place":
        """The same step on another branch, or in another attempt."""
        return Place(ctx, self.facts, self.step, key, self.names)

    def pointer(self, field: str) -> str:
        return f"{self.config_at}/{self.facts.plan.words.field(field)}"

    def filled(self, value: Any, field: str) -> Any:
        """A value of the step's configuration with everything looked up. Raises `ProgramError`."""
        return fill(value, self.names, self.pointer(field))

    def seconds(self, value: Any, field: str) -> float | None:
        """The same, as a length of time."""
        found = self.filled(value, field)
        if found is None or (isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < 1e11):
            return found
        text = f"expected a number of seconds, found {describe(found)}"
        raise failure("expression", text, self.pointer(field), status=400)


async def holds(expression: jq.Expression, names: Names, now: float, at: str) -> bool:
    """Whether a condition is true. Raises `ProgramError`."""
    variables = {jq.NOW: now} if jq.NOW in expression.names else jq.NO_VARIABLES
    if expression.remote and "inputs" not in expression.text:
        names = {name: value for name, value in names.items() if name != "inputs"}  # sent once will do
    try:
        return jq.is_true(await jq.evaluate(expression, names, variables))
    except jq.ExpressionError as error:
        raise failure("expression", f"{expression.text}: {error}", at, status=400) from None
