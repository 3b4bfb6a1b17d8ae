"""Where a task runs: the facts of its run, its strand (one line of execution) and the variables around it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from stepwell.core.errors import ERROR_BASE, Problem, ProgramError
from stepwell.core.program import RunContext
from stepwell.programs.flow.expressions import NO_VARIABLES, Expression, ExpressionError, Variables

END = -1
"""The position that ends the run."""


class Facts:
    """What expressions may read about a run; the same all the time."""

    __slots__ = ("_workflow", "definition", "input", "runtime")

    def __init__(self, definition: Any, input: Any) -> None:
        self.definition = definition
        self.input = input
        self.runtime: Any = None
        self._workflow: dict[str, Any] | None = None

    def workflow(self, ctx: RunContext) -> dict[str, Any]:
        """The standard's workflow descriptor, made when the first expression reads it."""
        if self._workflow is None:
            self._workflow = {"id": ctx.run.id, "definition": self.definition, "input": self.input,
                              "startedAt": date_time(ctx.run.created_at)}
        return self._workflow


class Strand:
    """One line of execution: its verbs and its own `$context`. A fork makes new ones."""

    __slots__ = ("context", "ctx", "facts")

    def __init__(self, ctx: RunContext, facts: Facts, context: Any) -> None:
        self.ctx = ctx
        self.facts = facts
        self.context = context


class Scope:
    """A place to run tasks in: `prefix` starts their keys, `names` are the variables of loops and catches."""

    __slots__ = ("names", "prefix", "strand")

    def __init__(self, strand: Strand, prefix: str, names: Mapping[str, Any]) -> None:
        self.strand = strand
        self.prefix = prefix
        self.names = names

    def inside(self, prefix: str, names: Mapping[str, Any] | None = None) -> "Scope":
        return Scope(self.strand, prefix, {**self.names, **names} if names else self.names)

    def on(self, ctx: RunContext) -> "Scope":
        """The same place on a new strand, with its own copy of `$context`."""
        return Scope(Strand(ctx, self.strand.facts, self.strand.context), self.prefix, self.names)

    def variables(self, expression: Expression, value: Any = None, output: Any = None) -> Variables:
        """The variables that an expression reads, where `$input` is `value`."""
        if not expression.names:
            return NO_VARIABLES
        found: dict[str, Any] = {}
        for name in expression.names:
            match name:
                case "context":
                    found[name] = self.strand.context
                case "input":
                    found[name] = value
                case "output":
                    found[name] = output
                case "workflow":
                    found[name] = self.strand.facts.workflow(self.strand.ctx)
                case "runtime":
                    found[name] = self.strand.facts.runtime
                case _ if name in self.names:
                    found[name] = self.names[name]
        return found


class Jump:
    """The outcome of a task that also says where its list goes on: a position in it, or `END`."""

    __slots__ = ("output", "target")

    def __init__(self, output: Any, target: int) -> None:
        self.output = output
        self.target = target


class Ended(Exception):
    """The run is complete, with this output."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


class Node(Protocol):
    """A compiled task. `key` is unique in the run; `value` is the task's raw input."""

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        """The task's output, or a `Jump`. Raises `ProgramError`; `Ended` by `then: end` inside."""


async def evaluate(expression: Expression, value: Any, variables: Variables, at: str) -> Any:
    """Raises `ProgramError` of the standard's type `expression`."""
    try:
        result = expression.run(value, variables)
        return await result if expression.remote else result
    except ExpressionError as error:
        text = f"{expression.text.strip()}: {error}" if expression.text else str(error)
        raise failure("expression", text, at, status=400) from None


def failure(kind: str, detail: str, at: str, *, status: int = 500, title: str = "", data: Any = None,
            retryable: bool = False, forget: tuple[str, ...] = ()) -> ProgramError:
    """An error of the program's own making: mostly the same each time, so trying again cannot help."""
    problem = Problem(type=ERROR_BASE + kind, title=title or f"{kind.replace('_', ' ').capitalize()} error",
                      status=status, detail=detail, instance=at, data=data, retryable=retryable)
    return ProgramError(problem, forget)


def date_time(at: float) -> dict[str, Any]:
    """The standard's date-time descriptor of an instant."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"iso8601": text, "epoch": {"seconds": int(at), "milliseconds": round(at * 1000)}}
