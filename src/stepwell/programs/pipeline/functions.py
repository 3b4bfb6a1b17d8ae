"""Value functions: what `{"$fn": "name(...)"}` can be outside of conditions, one table for all of them.

The first group is the language's own. The second are extensions: text, dates, lists and more arithmetic. All
randomness is the execution's.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from stepwell.programs.pipeline import numbers
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.paths import Value
from stepwell.programs.pipeline.plain import PLAIN, Plain
from stepwell.programs.pipeline.text import Call, read_call

CompileOperand = Callable[[str, str], Value]
Compile = Callable[[Call, str, CompileOperand], Value]

INT_RANGE: Final = (-(2**31), 2**31 - 1)
LONG_RANGE: Final = (-(2**63), 2**63 - 1)
_BOUNDS: Final = re.compile(r"\s*(-?[0-9]{1,40})\s*,\s*(-?[0-9]{1,40})\s*")


def known(name: str) -> bool:
    """Whether there is a function of that name (in lower case)."""
    return name in OWN or name in PLAIN


def compile_call(call: Call, step: str, operand: CompileOperand) -> Value:
    """A value function. Raises `RuleError`."""
    if call.name in OWN:
        return OWN[call.name](call, step, operand)
    return _plain(PLAIN[call.name], call, step, operand)


def compile_function(text: str, step: str, operand: CompileOperand) -> Value:
    """The text of a `$fn` that is a value. Raises `RuleError`."""
    if not text.strip():
        raise RuleError("function name must not be blank")
    call = read_call(text, step)
    if call is None or not known(call.name):
        raise unsupported(text, step)
    return compile_call(call, step, operand)


def unsupported(text: str, step: str) -> RuleError:
    where = f" for step: {step}" if step else ""
    return RuleError(f"Unsupported valueExpression '{text.strip()}'{where}")


# --- the language's own -------------------------------------------------------------------------------------------


def _without_arguments(compute: Callable[[Execution], Any]) -> Compile:
    def compile(call: Call, step: str, _operand: CompileOperand) -> Value:
        if call.inner.strip():
            raise unsupported(call.text, step)
        return compute

    return compile


def _between(least: int, most: int) -> Compile:
    def compile(call: Call, step: str, _operand: CompileOperand) -> Value:
        bounds = _BOUNDS.fullmatch(call.inner)
        if bounds is None:
            raise unsupported(call.text, step)
        low, high = int(bounds[1]), int(bounds[2])
        for bound in (low, high):
            if not least <= bound <= most:
                raise RuleError(f"expected a number from {least} to {most}, found {bound} for step: {step}")
        if low > high:
            raise RuleError("minInclusive must be <= maxInclusive")
        count = high - low + 1
        return lambda execution: low + execution.chance.below(count)

    return compile


def _choice(call: Call, _step: str, _operand: CompileOperand) -> Value:
    if not call.inner.strip():
        raise RuleError("choice requires at least one option")
    options = [_option(text.strip(), "choice options must not be blank") for text in call.inner.split(",")]
    count = len(options)
    return lambda execution: options[execution.chance.below(count)]


def _choice_weighted(call: Call, _step: str, _operand: CompileOperand) -> Value:
    if not call.inner.strip():
        raise RuleError("choiceWeighted requires at least one option")
    options: list[Any] = []
    sums: list[int] = []
    for text in call.inner.split(","):
        value, colon, weight = text.strip().rpartition(":")
        if not text.strip():
            raise RuleError("choiceWeighted options must not be blank")
        if not colon or not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", weight):
            raise RuleError("choiceWeighted option must use value:weight format")
        if int(weight) <= 0:
            raise RuleError("choiceWeighted weight must be > 0")
        options.append(_option(value.strip(), "choiceWeighted options must not be blank"))
        sums.append((sums[-1] if sums else 0) + int(weight))
    return lambda execution: execution.chance.weighted(options, sums)


def _option(text: str, blank: str) -> Any:
    """Options are taken as they are written: nothing is looked up, and only whole numbers are numbers."""
    if not text:
        raise RuleError(blank)
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"-?[0-9]{1,1000}", text):
        return int(text)
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == "'" else text


def _numeric(name: str, compute: Callable[[Any, Any], Any]) -> Compile:
    def compile(call: Call, step: str, operand: CompileOperand) -> Value:
        arguments = call.arguments(step)
        if len(arguments) != 2:
            raise RuleError(f"{name} requires exactly 2 arguments")
        left, right = (operand(argument, step) for argument in arguments)

        def value(execution: Execution) -> Any:
            one, other = left(execution), right(execution)
            if type(one) is int and type(other) is int:
                return compute(one, other)
            return compute(numbers.number(one, step), numbers.number(other, step))

        return value

    return compile


_BOOLEAN: Final = _without_arguments(lambda execution: execution.chance.flag())
_UUID: Final = _without_arguments(lambda execution: execution.chance.uuid())

OWN: Final[dict[str, Compile]] = {
    "uuid": _UUID,
    "string": _UUID,
    "now": _without_arguments(Execution.instant),
    "nows": _without_arguments(lambda execution: int(execution.now())),
    "nowms": _without_arguments(lambda execution: int(execution.now() * 1000)),
    "bit": _BOOLEAN,
    "bool": _BOOLEAN,
    "boolean": _BOOLEAN,
    "int": _between(*INT_RANGE),
    "long": _between(*LONG_RANGE),
    "choice": _choice,
    "choiceweighted": _choice_weighted,
    "add": _numeric("add", numbers.add),
    "sub": _numeric("sub", numbers.sub),
    "percent": _numeric("percent", numbers.percent),
    "mul": _numeric("mul", numbers.mul),
    "div": _numeric("div", numbers.div),
    "mod": _numeric("mod", numbers.mod),
}


def _plain(function: Plain, call: Call, step: str, operand: CompileOperand) -> Value:
    """An extension: its arguments are evaluated, then it is called with them."""
    arguments = call.arguments(step)
    function.check_count(len(arguments), step)
    values = [operand(argument, step) for argument in arguments]
    return lambda execution: function.compute(execution, step, [value(execution) for value in values])
