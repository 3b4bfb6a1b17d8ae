"""Data against a schema, while a run runs.

Patterns that could take for ever are matched by jq in its workers (`regexes`): the data is gone through once to see
which texts are asked about, they go out in one message, and then it is checked with the answers.
"""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from stepwell.programs.flow.expressions import ExpressionError
from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.model.schemas import dialect_of
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.flow.regexes import is_plain, patterns_in

MAX_ERRORS = 20
_MATCH = "map(. as [$pattern, $text] | $text | test($pattern))"

Errors = Iterator[ValidationError]
Question = tuple[str, str]
"""A pattern and a text."""


class DataCheck:
    """A compiled JSON Schema. `what` says in messages what is checked; `expressions` is a full jq."""

    def __init__(self, document: Any, what: str, expressions: Any = None) -> None:
        self._document = document
        self._dialect = dialect_of(document)
        self._what = what
        self._expressions = expressions
        self._risky = any(not is_plain(pattern) for _, pattern in patterns_in(document))
        self._validator = self._validator_of(self._dialect)

    async def check(self, value: Any, at: str) -> None:
        """Raises `ProgramError` of the standard's type `validation`, all errors in its data."""
        validator = await self._answering(value, at) if self._risky else self._validator
        errors = self._errors(validator, value, at)
        if errors:
            best = best_match(errors)
            detail = f"the {self._what} is not of its schema: {_words(best)}"
            raise failure("validation", detail, at, status=400, data={"errors": [_record(error) for error in errors]})

    def _errors(self, validator: Validator, value: Any, at: str, *, most: int = MAX_ERRORS) -> list[ValidationError]:
        try:
            return [error for _, error in zip(range(most), validator.iter_errors(value), strict=False)]
        except (Unresolvable, RecursionError) as error:
            raise failure(
                "configuration", f"the schema of the {self._what} cannot be followed: {error}", at, status=400
            ) from None

    def _validator_of(self, dialect: type[Validator]) -> Validator:
        # An empty registry: references lead nowhere outside of the schema, nothing is ever fetched.
        return dialect(self._document, registry=Registry())

    async def _answering(self, value: Any, at: str) -> Validator:
        """A validator that knows the answers to every question on this value."""
        answers: dict[Question, bool] = {}
        while True:
            asked: dict[Question, None] = {}
            validator = self._validator_of(_with_patterns(self._dialect, answers, asked))
            # To its end, since each question counts. An answer can lead to further ones (`not`, `if`).
            self._errors(validator, value, at, most=10**9)
            if not asked:
                return validator
            answers |= zip(asked, await self._ask(list(asked), at), strict=True)

    async def _ask(self, questions: list[Question], at: str) -> list[bool]:
        try:
            found: list[bool] = await self._expressions.evaluate(_MATCH, questions, {})
        except ExpressionError as error:
            patterns = ", ".join(sorted({pattern for pattern, _ in questions})[:3])
            raise failure(
                "validation",
                f"the {self._what} cannot be matched against its patterns ({patterns}): {error}",
                at,
                status=400,
            ) from None
        return found


def _with_patterns(dialect: Any, answers: dict[Question, bool], asked: dict[Question, None]) -> Any:
    """The dialect with its pattern keywords answered from `answers`; what is not in there is `asked` for."""

    def holds(pattern: str, text: str) -> bool:
        if is_plain(pattern):
            return re.search(pattern, text) is not None
        if (pattern, text) not in answers:
            asked[pattern, text] = None
        return answers.get((pattern, text), True)

    def pattern_keyword(_validator: Any, pattern: str, value: Any, _schema: Any) -> Errors:
        if isinstance(value, str) and not holds(pattern, value):
            yield ValidationError(f"{value!r} does not match {pattern!r}")

    def properties_keyword(validator: Any, by_pattern: Any, value: Any, _schema: Any) -> Errors:
        for pattern, schema in by_pattern.items() if isinstance(value, dict) else ():
            for name, item in value.items():
                if holds(pattern, name):
                    yield from validator.descend(item, schema, path=name, schema_path=pattern)

    def additional_keyword(validator: Any, rule: Any, value: Any, schema: Any) -> Errors:
        named, by_pattern = schema.get("properties", {}), schema.get("patternProperties", {})
        for name, item in value.items() if isinstance(value, dict) else ():
            fitting = [pattern for pattern in by_pattern if holds(pattern, name)]  # all of them: each is asked about
            if name in named or fitting:
                continue
            if isinstance(rule, dict):
                yield from validator.descend(item, rule, path=name)
            elif rule is False:
                yield ValidationError(f"{name!r} is no property that may be there")

    keywords = {
        "pattern": pattern_keyword,
        "patternProperties": properties_keyword,
        "additionalProperties": additional_keyword,
    }
    return extend(dialect, keywords)  # type: ignore[no-untyped-call]  # jsonschema does not annotate it


def _record(error: Any) -> dict[str, str]:
    return {"pointer": _pointer(error), "message": str(error.message)[:500]}


def _words(error: Any) -> str:
    place = _pointer(error)
    return f"{place}: {error.message[:500]}" if place else str(error.message)[:500]


def _pointer(error: Any) -> str:
    return "".join(f"/{escape(str(segment))}" for segment in error.absolute_path)
