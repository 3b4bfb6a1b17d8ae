"""Flows: workflows in the CNCF Serverless Workflow DSL 1.0.x.

A definition goes through `reading` (text to values with lines), `model` and `binding` (values to a typed model,
all faults at once), `compiling` (model to nodes) and `nodes` (what runs).
"""

from stepwell.programs.flow.checking import Definition, check_definition
from stepwell.programs.flow.expressions import ExpressionError, Expressions
from stepwell.programs.flow.programs import FlowPrograms

__all__ = [
    "Definition",
    "ExpressionError",
    "Expressions",
    "FlowPrograms",
    "check_definition",
]
