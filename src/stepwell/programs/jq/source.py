"""Expressions into whole jq programs, and jq's complaints about these back into the words of the expression.

The input of a program is the array `[value, variable, ...]`, its output is a JSON text:

    def env: ...;  null as $ENV | .[1] as $context | .[0] | (TEXT) | tojson

- Variables come with the input, not as jq's `--argjson`: those are compiled into the program, which would then be
  compiled (1 to 2 ms) for each evaluation.
- `tojson` inside jq keeps the digits of integers beyond 2^53 that the expression only passes on; the binding's
  own conversion goes through a double and damages them. Arithmetic rounds them as jq does.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from stepwell.programs.jq.errors import JqError

NOW = "now()"
"""The key in an expression's variables whose value jq's `now` gives: epoch seconds, the branch's recorded time.
No `$name` can be written like this, so it clashes with no variable."""

_REFUSED = {
    "env": "the server's environment",
    "input": "further inputs",
    "inputs": "further inputs",
    "debug": "the server's log",
    "debug(x)": "the server's log",
    "stderr": "the server's log",
    "halt": "the worker process",
    "halt_error": "the worker process",
    "halt_error(x)": "the worker process",
    "input_filename": "files",
    "input_line_number": "files",
    "modulemeta": "files",
    "get_search_list": "the server's folders",
    "get_prog_origin": "the server's folders",
    "get_jq_origin": "the server's folders",
}
_MARK = "stepwell_refuses_"

# A definition that calls something undefined is an error only where it is used: jq drops unused definitions
# before it looks for names. So a refused function is found when the expression is compiled, not when it runs.
_REFUSALS = "".join(f"def {name}: {_MARK}{name.partition('(')[0]};" for name in _REFUSED)

# The server's time zone must not decide the result of a run.
_ZONES = "def localtime: gmtime; def strflocaltime(f): strftime(f);"

# jq resolves `$ENV` to the environment only when nothing of that name is bound.
_ENVIRONMENT = "null as $ENV|"

# jq 1.7 continues a comment behind a backslash at the end of its line: one line end may be swallowed, two not.
_END_OF_TEXT = "\n\n"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\[^(])*"|\#[^\n]*', re.DOTALL)
_ENV = re.compile(r"\$ENV\b")
_COMPLAINT = re.compile(r"jq: error: (.*?) at <top-level>, line (\d+), column (\d+):", re.DOTALL)


@lru_cache(maxsize=1024)
def program(text: str, names: tuple[str, ...]) -> bytes:
    """The program of one expression. Its output is the first output of the expression."""
    return f"{_prefix(names)}({_safe(text)}{_END_OF_TEXT})|tojson".encode()


@lru_cache(maxsize=1024)
def checked_program(text: str, names: tuple[str, ...], limit: int) -> bytes:
    """`program`, for a text that nobody has checked. Raises `JqError`."""
    if problem := fault(text, names, limit):
        raise JqError(problem, text=text)
    return program(text, names)


@lru_cache(maxsize=1024)
def program_of_all(texts: tuple[str, ...], names: tuple[str, ...]) -> bytes:
    """One program for several expressions on the same value: an array with the first output of each, or null."""
    parts = ",".join(f"first(({_safe(text)}{_END_OF_TEXT}),null)" for text in texts)
    return f"{_prefix(names)}[{parts}]|tojson".encode()


def balance(text: str, names: tuple[str, ...]) -> bytes:
    """A program that compiles only when the text does not close the parenthesis that `program` puts around it:
    `1) | (2` fits into that one, but not into a bracket."""
    return f"{_prefix(names)}[{_safe(text)}{_END_OF_TEXT}]|tojson".encode()


def fault(text: str, names: Collection[str], limit: int) -> str | None:
    """What is wrong with a text before jq sees it."""
    for name in names:
        if name != NOW and not _NAME.fullmatch(name):
            return f"expected variables with names of letters, digits and _, found {name!r}"
    if len(text) > limit:
        return f"expected at most {limit} characters, found {len(text)}"
    if "\0" in text:
        return "expected text without NUL characters, found one"  # the binding would end the program there
    if not text.strip():
        return "expected an expression, found nothing"
    if _ENV.search(_QUOTED_OR_COMMENT.sub("", text)):  # a courtesy: what protects is that it is bound to null
        return "$ENV is not available: it would give access to the server's environment"
    return None


def complaint(said: str, text: str, names: Collection[str] = ()) -> str:
    """The first of jq's compile errors, its position counted in the expression."""
    found = _COMPLAINT.search(said)
    if found is None:
        return said.partition("\n")[0].removeprefix("jq: error: ")
    words, line, column = found[1], int(found[2]), int(found[3])
    if refused := _refused(words, names):
        return refused
    lines = text.split("\n")
    column -= len(_prefix(tuple(names))) + 1 if line == 1 else 0
    if line > len(lines):  # it is our own parenthesis behind the text that jq did not expect
        return f"{words.partition(',')[0]}, the expression ends too early or closes too much"
    return f"{words}, at line {line}, column {max(column, 1)}"


def _refused(words: str, names: Collection[str]) -> str | None:
    name, _, rest = words.partition(" ")
    if rest != "is not defined":
        return None
    function = name.removeprefix(_MARK).partition("/")[0]
    if name.startswith(_MARK + "now"):
        return "now is not available: no recorded time was passed"
    if name.startswith(_MARK):
        return f"{function} is not available: it would give access to {_REFUSED[function]}"
    if name.startswith("$"):
        known = ", ".join(f"${each}" for each in sorted(names) if each != NOW) or "none"
        return f"expected a variable that is known here ({known}), found {name}"
    return f"expected a function that jq knows, found {name}"


def _prefix(names: Sequence[str]) -> str:
    bound = "".join(_binding(name, position) for position, name in enumerate(names, 1))
    now = "" if NOW in names else f"def now: {_MARK}now;"
    return f"{_REFUSALS}{_ZONES}{now}{_ENVIRONMENT}{bound}.[0]|"


def _binding(name: str, position: int) -> str:
    if name == NOW:
        return f".[{position}] as $__stepwell_now|def now: $__stepwell_now;"
    return f".[{position}] as ${name}|"


def _safe(text: str) -> str:
    """The text, encodable. Lone surrogates cannot reach jq, which takes UTF-8."""
    return text.encode("utf-8", "replace").decode()
