"""The part of jq that is evaluated in Python: paths, literals, comparisons, `and`, `or`, `not`, `//`, `|`.

Text becomes closures in one pass (recursive descent, jq's precedence: `|` lowest, then `//`, `or`, `and`,
comparisons, terms). What has more or fewer than one output, builds values or calculates is beyond it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from stepwell.programs.flow.expressions import operations as do
from stepwell.programs.flow.expressions.expression import Expression, Run
from stepwell.programs.flow.expressions.tokens import MalformedError, Token, tokenize
from stepwell.programs.flow.expressions.values import COMPARISONS

_T = TypeVar("_T")

MAX_DEPTH = 50
"""Parentheses and brackets inside each other."""


class BeyondPythonError(Exception):
    """An expression that needs a full jq. `found` is the first thing that is not in the part above."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


def parse(text: str) -> Expression:
    """Compile an expression. Raises `BeyondPythonError`, or `MalformedError` for what no jq would take."""
    parser = _Parser(tokenize(text))
    run = parser.pipe()
    parser.expect_end()
    return Expression(text=text, run=run, names=frozenset(parser.names))


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self.names: set[str] = set()

    def pipe(self) -> Run:
        left = self._alternative()
        return do.pipe(left, self.pipe()) if self._take("|") else left

    def expect_end(self) -> None:
        token = self._peek()
        if token.text in (")", "]"):
            raise MalformedError(f"expected nothing more, found {token.text!r}")
        if token.kind != "end":
            raise BeyondPythonError(token.text)

    def _alternative(self) -> Run:
        left = self._any_of()
        return do.alternative(left, self._alternative()) if self._take("//") else left

    def _any_of(self) -> Run:
        left = self._all_of()
        while self._take("or"):
            left = do.either(left, self._all_of())
        return left

    def _all_of(self) -> Run:
        left = self._comparison()
        while self._take("and"):
            left = do.both(left, self._comparison())
        return left

    def _comparison(self) -> Run:
        left = self._term()
        token = self._peek()
        if token.text not in COMPARISONS or token.kind != "operator":
            return left
        self._next += 1
        right = self._term()
        if (again := self._peek()).kind == "operator" and again.text in COMPARISONS:
            raise MalformedError(f"expected one comparison, found a second one: {again.text!r}")
        return do.compare(COMPARISONS[token.text], left, right)

    def _term(self) -> Run:
        token = self._pop()
        match token.kind:
            case "field" | "dot":
                self._next -= 1
                return self._suffixes(None)
            case "variable":
                self.names.add(token.value)
                return self._suffixes(do.variable(token.value))
            case "literal":
                return self._suffixes(do.literal(token.value))
            case "end":
                raise MalformedError("expected a value or a path, found the end")
        if token.text == "not":
            return do.negation
        if token.text == "-" and isinstance(self._peek().value, int | float):
            return do.literal(-self._pop().value)
        if token.text == "(":
            return self._suffixes(self._enclosed(")", self.pipe))
        raise BeyondPythonError(token.text)

    def _suffixes(self, base: Run | None) -> Run:
        """The keys behind a term: constant ones are gathered into one path."""
        keys: list[Any] = []
        while (step := self._suffix(first=base is None and not keys)) is not None:
            if step.constant:
                keys.append(step.run(None, {}))
                continue
            base = do.dynamic_index(do.path(base, tuple(keys)), step.run)
            keys.clear()
        return do.path(base, tuple(keys))

    def _suffix(self, *, first: bool) -> Expression | None:
        token = self._peek()
        if token.kind == "field":
            self._next += 1
            return do.constant(token.value)
        if token.kind == "dot":
            return self._after_dot(first=first)
        if token.text == "[":
            self._next += 1
            return self._enclosed("]", self._key)
        return None

    def _after_dot(self, *, first: bool) -> Expression | None:
        """Behind a lone dot: a quoted name, a bracket, or (as the whole of `.`) nothing."""
        self._next += 1
        token = self._peek()
        if token.kind == "literal" and isinstance(token.value, str):
            self._next += 1
            return do.constant(token.value)
        if token.text == "[":
            return self._suffix(first=False)
        if first:
            return None
        raise BeyondPythonError(".")

    def _key(self) -> Expression:
        if self._peek().text == "]":
            raise BeyondPythonError("[]")
        start = self._next
        run = self.pipe()
        tokens = self._tokens[start : self._next]
        is_literal = all(token.kind == "literal" or token.text == "-" for token in tokens)
        return Expression(text="", run=run, constant=is_literal)

    def _enclosed(self, closing: str, inner: Callable[[], _T]) -> _T:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise MalformedError(f"expected at most {MAX_DEPTH} brackets inside each other, found more")
        result = inner()
        token = self._pop()
        if token.kind == "end":
            raise MalformedError(f"expected {closing!r}, found the end")
        if token.text != closing:
            raise BeyondPythonError(token.text)
        self._depth -= 1
        return result

    def _take(self, text: str) -> bool:
        token = self._peek()
        if token.text != text or token.kind == "literal":
            return False
        self._next += 1
        return True

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _pop(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token
