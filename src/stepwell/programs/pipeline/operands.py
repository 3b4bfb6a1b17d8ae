"""Arguments of functions and comparisons, compiled."""

import re
from decimal import Decimal
from typing import Any, Final

from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.functions import compile_call, known
from stepwell.programs.pipeline.paths import Value, absolute, payload_reader, reader
from stepwell.programs.pipeline.text import quoted, read_call

MAX_DIGITS: Final = 1000
_INTEGER: Final = re.compile(r"-?[0-9]+")
_DECIMAL: Final = re.compile(r"-?[0-9]+\.[0-9]+")
_PATH: Final = re.compile(r"\.[^.\s()'\",]+(\.[^.\s()'\",]+)*")
_WORDS: Final = {"true": True, "false": False}


def constant(value: Any) -> Value:
    return lambda _execution: value


def compile_operand(text: str, step: str) -> Value:
    """An argument as a value. Raises `RuleError`."""
    if not text:
        raise RuleError("expression argument must not be blank")
    inner = quoted(text)
    if inner is not None:
        return constant(inner)
    if text.lower() in _WORDS:
        return constant(_WORDS[text.lower()])
    if len(text) <= MAX_DIGITS and _INTEGER.fullmatch(text):
        return constant(int(text))
    if len(text) <= MAX_DIGITS and _DECIMAL.fullmatch(text):
        return constant(Decimal(text))
    if _PATH.fullmatch(text):
        return payload_reader(text[1:])
    path = absolute(text)
    if path is not None:
        return reader(path)
    call = read_call(text, step)
    if call is None:
        return constant(text)
    if not known(call.name):
        raise RuleError(f"Unsupported valueExpression '{text}' for step: {step}")
    return compile_call(call, step, compile_operand)
