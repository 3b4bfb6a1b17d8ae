"""Runtime expressions of flows: compiled once, evaluated in Python where plain, by a jq elsewhere otherwise."""

from stepwell.programs.flow.expressions.expression import (
    NO_VARIABLES,
    NOW,
    Expression,
    Expressions,
    Variables,
    constant,
    evaluate,
    failing_text,
    remote,
)
from stepwell.programs.flow.expressions.parser import BeyondPythonError, parse
from stepwell.programs.flow.expressions.templates import build, expression_text, in_order, never_ends, together
from stepwell.programs.flow.expressions.tokens import MalformedError, names_in
from stepwell.programs.flow.expressions.values import ExpressionError, is_true, kind_of

__all__ = [
    "NOW",
    "NO_VARIABLES",
    "BeyondPythonError",
    "Expression",
    "ExpressionError",
    "Expressions",
    "MalformedError",
    "Variables",
    "build",
    "constant",
    "evaluate",
    "expression_text",
    "failing_text",
    "in_order",
    "is_true",
    "kind_of",
    "names_in",
    "never_ends",
    "parse",
    "remote",
    "together",
]
