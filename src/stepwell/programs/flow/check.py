"""The state of checking one definition: its faults, and what names mean where.

Faults are collected, never raised one by one. A reader that cannot make a value returns `BROKEN`, and so do all
readers around it; a document without faults holds no broken value.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Protocol

from stepwell.core.definitions import Fault
from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.source import Source

BASE_NAMES = frozenset({"context", "input", "task", "workflow", "runtime", "secrets", "authorization"})
"""Variables that every expression may read. `output` comes with `export`, others with `for` and `catch`."""

RESERVED_NAMES = BASE_NAMES | {"output"}

_NOW = re.compile(r"\bnow\b")
_SECRET = re.compile(r"""\$secrets\s*(?:\.\s*([A-Za-z_]\w*)|\.?\s*(?:\[\s*)?"([^"\\]*)")""")


class Broken:
    """The one value that stands for a value at fault."""


BROKEN = Broken()


class KnownFunctions(Protocol):
    """The names that `call` may use beside the standard's own."""

    def names(self) -> Collection[str]: ...


class Check:
    """Collects the faults of one document. `functions` None means: any function name may exist.
    `processes` says whether local processes may be run."""

    def __init__(
        self,
        source: Source,
        *,
        functions: KnownFunctions | None = None,
        expressions: jq.Expressions | None = None,
        processes: bool = False,
    ) -> None:
        self.source = source
        self.functions = functions
        self.expressions = expressions
        self.processes = processes
        self._faults: list[Fault] = []
        self._names: frozenset[str] | None = BASE_NAMES

    @property
    def faults(self) -> list[Fault]:
        """In document order."""
        return sorted(self._faults, key=lambda fault: fault.line)

    def fault(self, at: str, message: str) -> Broken:
        self._faults.append(Fault(pointer=at, line=self.source.line_of(at), message=message))
        return BROKEN

    def unsupported(self, at: str, what: str) -> None:
        """Refuse something that is well formed."""
        self.fault(at, f"{what} is not supported")

    @contextmanager
    def reading_names(self, names: Iterable[str] | None) -> Iterator[None]:
        """Within: these variables are known too; None means that any may be (a part used from elsewhere)."""
        before = self._names
        self._names = None if names is None or before is None else before | set(names)
        try:
            yield
        finally:
            self._names = before

    def expression(self, text: str, at: str) -> Any:
        """Compile one expression; `BROKEN` after a fault."""
        if jq.never_ends(text):
            return self.fault(at, f"expected an expression in ${{ }}, found none that ends: {describe(text)}")
        try:
            expression = jq.parse(text)
        except jq.MalformedError as error:
            return self.fault(at, f"expected an expression, found {describe(text)}: {error}")
        except jq.BeyondPythonError as error:
            return self._remote_expression(text, at, error.found)
        whole = self._check_names(expression.names, at) and self._check_secrets(text, at)
        return expression if whole else BROKEN

    def _remote_expression(self, text: str, at: str, found: str) -> Any:
        if self.expressions is None:
            return self.fault(
                at,
                f"the expression {describe(text)} is not supported: expected paths, literals, "
                f"comparisons, and, or, not, //; found {found!r}",
            )
        # Names that are unknown here may be the expression's own (`. as $x`): jq itself tells the two apart.
        names = jq.names_in(text) if self._names is None else jq.names_in(text) & self._names
        if problem := self.expressions.check(text, sorted(names)):
            return self.fault(at, f"expected an expression, found {describe(text)}: {problem}")
        if not self._check_secrets(text, at):
            return BROKEN
        return jq.remote(text, names | {jq.NOW} if _NOW.search(text) else names, self.expressions)

    def _check_names(self, names: Iterable[str], at: str) -> bool:
        known = self._names
        unknown = [name for name in sorted(names) if known is not None and name not in known]
        for name in unknown:
            self.fault(at, f"expected a variable that is known here, found ${name}{hint(name, known or ())}")
        return not unknown

    def _check_secrets(self, text: str, at: str) -> bool:
        """Whether the secrets that an expression names are declared; those that it computes show when it runs."""
        known = self.used("secrets")
        found = {name for match in _SECRET.finditer(text) if (name := match[1] or match[2])}
        for name in sorted(found.difference(known)):
            self.fault(at, f"expected the name of one of use.secrets, found {name!r}{hint(name, known)}")
        return found.issubset(known)

    def reference(self, section: str, name: str, at: str) -> None:
        """Check that `use.<section>` has this name."""
        known = self.used(section)
        if name not in known:
            self.fault(at, f"expected the name of one of use.{section}, found {name!r}{hint(name, known)}")

    def used(self, section: str) -> Collection[str]:
        """The names in `use.<section>`, right or wrong in themselves."""
        use = self.source.value.get("use") if isinstance(self.source.value, dict) else None
        names = use.get(section) if isinstance(use, dict) else None
        return [str(name) for name in names] if isinstance(names, dict | list) else []


def describe(value: Any) -> str:
    """A found value in the words of a message."""
    match value:
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "...")
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int() | float():
            return f"the number {value:.12g}" if isinstance(value, float) else f"the number {_digits(value)}"
        case list():
            return "a list" if value else "an empty list"
    return "an object" if value else "an empty object"


def _digits(number: int) -> str:
    return str(number) if abs(number) < 10**30 else "of more than 30 digits"


def hint(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` when a known name is near; else nothing."""
    near = get_close_matches(name[:100], sorted(known)[:1000], n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_of(names: Iterable[str]) -> str:
    """Names in the words of a message."""
    listed = [repr(name) for name in names]
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " or " + listed[-1]
