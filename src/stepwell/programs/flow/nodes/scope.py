"""Where a task runs: the facts of its run, its strand (one line of execution) and the variables around it."""

from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from stepwell.core.program import RunContext
from stepwell.programs.flow import expressions
from stepwell.programs.flow.expressions import NO_VARIABLES, Expression, ExpressionError, Variables, failing_text
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.flow.nodes.hiding import hidden_in
from stepwell.programs.flow.nodes.secret_values import NO_SECRETS, SecretValues

__all__ = [
    "END",
    "EXIT",
    "Ended",
    "Exited",
    "Facts",
    "Jump",
    "Node",
    "Scope",
    "Strand",
    "date_time",
    "evaluate",
    "failure",
]

END = -1
"""The position that ends the run."""

EXIT = -2
"""The position that leaves the task around an extension's list."""


class Facts(msgspec.Struct):
    """What expressions may read about a run; the same all the time. `rounds` are those of loops, all together: a
    program that never waits lets others go on now and then.
    """

    definition: Any
    input: Any
    secrets: SecretValues = NO_SECRETS
    rounds: int = 0
    runtime: Any = None
    _workflow: dict[str, Any] | None = None

    def workflow(self, ctx: RunContext) -> dict[str, Any]:
        """The standard's workflow descriptor, made when the first expression reads it."""
        if self._workflow is None:
            self._workflow = {
                "id": ctx.run.id,
                "definition": self.definition,
                "input": self.input,
                "startedAt": date_time(ctx.run.created_at),
            }
        return self._workflow


class Strand(msgspec.Struct):
    """One line of execution: its verbs and its own `$context`. A fork makes new ones.

    `known` is what calls looked up on this strand, or before it began, and need not look up again. A branch that is
    on record is not run again, so what it knew ends with it; nobody changes the mapping, it is replaced. `kept` are
    events that a `listen` took and did not use, by signal, for its next visit: replaced too.
    """

    ctx: RunContext
    facts: Facts
    context: Any
    known: Mapping[str, Any] = NO_VARIABLES
    kept: Mapping[str, Any] = NO_VARIABLES


class Scope(msgspec.Struct):
    """A place to run tasks in: `prefix` starts their keys, `names` are the variables of loops and catches."""

    strand: Strand
    prefix: str
    names: Mapping[str, Any]

    def inside(self, prefix: str, names: Mapping[str, Any] | None = None) -> "Scope":
        return Scope(self.strand, prefix, {**self.names, **names} if names else self.names)

    def on(self, ctx: RunContext) -> "Scope":
        """The same place on a new strand, with its own copy of `$context`."""
        strand = self.strand
        inner = Strand(ctx, strand.facts, strand.context, strand.known, strand.kept)
        return Scope(inner, self.prefix, self.names)

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
                case "secrets":
                    found[name] = self.strand.facts.secrets.read()
                case expressions.NOW:
                    found[name] = self.strand.ctx.now
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


class Exited(Exception):
    """The list of an extension was left: what it extends is not to run, this is its output."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


class Node(Protocol):
    """A compiled task. `key` is unique in the run; `value` is the task's raw input."""

    def perform(self, scope: Scope, key: str, value: Any) -> Coroutine[Any, Any, Any]:
        """The task's output, or a `Jump`. Raises `ProgramError`; `Ended` by `then: end` inside."""


async def evaluate(expression: Expression, value: Any, variables: Variables, at: str) -> Any:
    """Raises `ProgramError` of the standard's type `expression`."""
    try:
        result = expression.run(value, variables)
        return await result if expression.remote else result
    except ExpressionError as error:
        text = failing_text(expression, error, value, variables).strip()
        said = f"{text}: {error}" if text else str(error)
        raise failure("expression", hidden_in(variables.get("secrets")).text(said), at, status=400) from None


def date_time(at: float) -> dict[str, Any]:
    """The standard's date-time descriptor of an instant."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"iso8601": text, "epoch": {"seconds": int(at), "milliseconds": round(at * 1000)}}
