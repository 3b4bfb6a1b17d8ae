"""Data against a schema, while a run runs."""

from typing import Any

from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.model.schemas import dialect_of
from stepwell.programs.flow.nodes.scope import failure

MAX_ERRORS = 20


class DataCheck:
    """A compiled JSON Schema. `what` says in messages what is checked."""

    def __init__(self, document: Any, what: str) -> None:
        # An empty registry: references lead nowhere outside of the schema, nothing is ever fetched.
        self._validator = dialect_of(document)(document, registry=Registry())
        self._what = what

    def check(self, value: Any, at: str) -> None:
        """Raises `ProgramError` of the standard's type `validation`, all errors in its data."""
        try:
            errors = [error for _, error in zip(range(MAX_ERRORS), self._validator.iter_errors(value), strict=False)]
        except (Unresolvable, RecursionError) as error:
            raise failure("configuration", f"the schema of the {self._what} cannot be followed: {error}", at,
                          status=400) from None
        if errors:
            best = best_match(errors)
            detail = f"the {self._what} is not of its schema: {_words(best)}"
            raise failure("validation", detail, at, status=400, data={"errors": [_record(error) for error in errors]})


def _record(error: Any) -> dict[str, str]:
    return {"pointer": _pointer(error), "message": str(error.message)[:500]}


def _words(error: Any) -> str:
    place = _pointer(error)
    return f"{place}: {error.message[:500]}" if place else str(error.message)[:500]


def _pointer(error: Any) -> str:
    return "".join(f"/{escape(str(segment))}" for segment in error.absolute_path)
