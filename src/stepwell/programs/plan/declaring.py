"""The variables and values that a plan declares."""

import re
from typing import Final

import msgspec

from stepwell.programs.flow.check import Check, describe
from stepwell.programs.flow.regexes import is_plain
from stepwell.programs.plan.inputs import value_faults
from stepwell.programs.plan.model import Env, Plan, Variable

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_TEXTUAL: Final = ("string", "uri", "date-time", "secret")


def check_declarations(plan: Plan, check: Check) -> None:
    """Notes the faults of all variables, and of names that are there twice."""
    seen: set[str] = set()
    for place, variable in enumerate(plan.variables):
        at = f"/{plan.words.variables}/{place}"
        _check_name(variable.name, at, seen, check)
        _check_variable(variable, at, check)
    for env in plan.env:
        _check_env(env, f"/{plan.words.env}", check)


def _check_name(name: str, at: str, seen: set[str], check: Check) -> None:
    if not NAME.fullmatch(name):
        check.fault(f"{at}/name", f"expected a name of letters, digits, _ and -, found {describe(name)}")
    elif name in seen:
        check.fault(f"{at}/name", f"expected a name of its own, found {describe(name)} a second time")
    seen.add(name)


def _check_variable(variable: Variable, at: str, check: Check) -> None:
    if variable.enum == ():
        check.fault(f"{at}/enum", "expected at least one value, found none")
    if variable.pattern is not None and not _is_pattern(variable, at, check):
        return
    bare = msgspec.structs.replace(variable, enum=None, pattern=None)
    for place, choice in enumerate(variable.enum or ()):
        for fault in value_faults(bare, choice):
            check.fault(f"{at}/enum/{place}", fault)
    if variable.default is not msgspec.UNSET:
        for fault in value_faults(variable, variable.default):
            check.fault(f"{at}/default", fault)


def _is_pattern(variable: Variable, at: str, check: Check) -> bool:
    pattern = variable.pattern or ""
    if variable.type not in _TEXTUAL:
        check.fault(f"{at}/pattern", f"expected no pattern for the type {variable.type!r}, found one")
        return False
    try:
        re.compile(pattern)
    except re.error as error:
        check.fault(f"{at}/pattern", f"expected a regular expression, found {describe(pattern)}: {error}")
        return False
    if not is_plain(pattern) and check.expressions is None:
        check.unsupported(f"{at}/pattern", f"the pattern {describe(pattern)} (with several repetitions or choices)")
        return False
    return True


def _check_env(env: Env, at: str, check: Check) -> None:
    if not NAME.fullmatch(env.name):
        check.fault(at, f"expected names of letters, digits, _ and -, found {describe(env.name)}")
