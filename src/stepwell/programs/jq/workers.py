"""jq for flows: `JqWorkers` is the `Expressions` that a server hands to its flows."""

import asyncio
import json
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any

import msgspec

from stepwell.programs.flow.expressions.expression import NO_VARIABLES, Variables
from stepwell.programs.jq import source, wire
from stepwell.programs.jq.checker import Checker
from stepwell.programs.jq.errors import JqClosedError, JqError
from stepwell.programs.jq.limits import Limits
from stepwell.programs.jq.pool import Pool
from stepwell.programs.jq.source import checked_program

_DEFAULT_LIMITS = Limits()
_LARGEST = 1.7976931348623157e308

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class JqWorkers:
    """Evaluates any jq expression in worker processes that can do no harm and be stopped.

    A result is the first output of the expression, or None when it has none. `now` is the value of the variable
    `source.NOW`, and refused without it. Integers keep their digits as long as the expression does not calculate
    with them; what is larger than a double is the largest double, as everywhere in jq; NaN is null.

    Belongs to one event loop at a time. The workers start with the first evaluation, or with `open`.
    """

    def __init__(self, limits: Limits = _DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._checker = Checker(limits)
        self._pool: Pool | None = None
        self._closed = False

    async def open(self) -> None:
        """Start the workers before they are needed. Raises `JqUnavailableError`."""
        self._closed = False
        await self._started().open()

    async def close(self) -> None:
        """End all workers. Evaluations that are under way are cancelled, later ones raise `JqClosedError`."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
        await asyncio.to_thread(self._checker.close)

    async def __aenter__(self) -> "JqWorkers":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def pids(self) -> list[int]:
        """The ids of the worker processes that evaluate; for operation and tests."""
        return self._pool.pids() if self._pool is not None else []

    def check(self, text: str, names: Collection[str]) -> str | None:
        """What is wrong with an expression that may read these variables, or None.

        Takes 3 to 5 ms for a text that is new, and never more than twice `time_s`.
        """
        return self._checker.check(text, {*names, source.NOW})

    async def evaluate(self, text: str, value: Any, variables: Variables = NO_VARIABLES) -> Any:
        """The result on `value`. Raises `JqError`, which is an `ExpressionError`."""
        names = tuple(variables)
        program = checked_program(text, names, self.limits.text_characters)
        pool = self._pool or self._started()
        if pool.full:
            await pool.room()
        reply = await pool.submit(program, self._input((value, *variables.values()), text), text)
        return _decoded(reply, text) if reply.kind == wire.VALUE else self._without(reply, text, names)

    async def evaluate_all(self, texts: Sequence[str], value: Any, variables: Variables = NO_VARIABLES) -> list[Any]:
        """The results of several expressions on the same value: one request, and one limit, for all of them.

        Raises the error of the first one that has none.
        """
        if len(texts) < 2:
            return [await self.evaluate(text, value, variables) for text in texts]
        names = tuple(variables)
        for text in texts:
            checked_program(text, names, self.limits.text_characters)  # raises for what must not be part of one
        program = source.program_of_all(tuple(texts), names)
        pool = self._pool or self._started()
        if pool.full:
            await pool.room()
        together = ", ".join(texts)
        reply = await pool.submit(program, self._input((value, *variables.values()), together), together)
        if reply.kind == wire.VALUE and len(results := _decoded(reply, "")) == len(texts):
            return list(results)
        return [await self.evaluate(text, value, variables) for text in texts]  # one by one, to see which it is

    def _started(self) -> Pool:
        if self._closed:
            raise JqClosedError
        self._pool = self._pool or Pool(self.limits)
        return self._pool

    def _input(self, values: tuple[Any, ...], text: str) -> bytes:
        try:
            encoded = _encode(values)
        except (TypeError, ValueError, RecursionError) as error:
            raise JqError(str(error), text=text, expected="JSON values to evaluate on") from None
        if len(encoded) > self.limits.input_bytes:
            raise JqError(f"{len(encoded)}", text=text, expected=f"at most {self.limits.input_bytes} bytes to read")
        return encoded

    def _without(self, reply: wire.Reply, text: str, names: tuple[str, ...]) -> None:
        """What a reply means that has no value: None, or the error that is raised."""
        if reply.kind != wire.NOTHING:
            raise _error(reply, text, names, self.limits)


def _decoded(reply: wire.Reply, text: str) -> Any:
    try:
        return _decode(reply.payload)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        # Larger than a double: jq keeps such a literal, JSON allows it, msgspec refuses it.
        return json.loads(reply.payload, parse_float=_float)
    except (ValueError, RecursionError):
        raise JqError("one that is nested too deeply", text=text, expected="a result") from None


def _float(digits: str) -> float:
    return max(-_LARGEST, min(_LARGEST, float(digits)))


def _error(reply: wire.Reply, text: str, names: tuple[str, ...], limits: Limits) -> JqError:
    said = reply.payload.decode("utf-8", "replace")
    match reply.kind:
        case wire.MALFORMED:
            return JqError(source.complaint(said, text, names), text=text)
        case wire.NO_MEMORY:
            megabytes = limits.memory_bytes // (1024 * 1024)
            return JqError("that it needs more", text=text, expected=f"to get along with {megabytes} MB of memory")
        case wire.TOO_LARGE:
            return JqError(said, text=text, expected=f"a result of at most {limits.result_bytes} bytes")
    return JqError(said, text=text)
