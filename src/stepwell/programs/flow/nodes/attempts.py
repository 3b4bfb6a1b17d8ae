"""`try`: a loop in the program. Keys: `~2` is the second attempt.

Whether an error is tried again is recorded before the delay starts; the delay is a timer. `limit.attempt.count`
counts retries, so the first attempt is none of them. Without a `do` to fall back on, an error that has used up its
retries goes on up: only an error that was never to be retried is dropped by a `catch` without `do`.
"""

import hashlib
from typing import Any, Literal

import msgspec

from stepwell.core.errors import Problem, ProgramError
from stepwell.programs.flow.expressions import Expression, is_true
from stepwell.programs.flow.nodes.durations import Length
from stepwell.programs.flow.nodes.scope import Scope, evaluate
from stepwell.programs.flow.nodes.sequence import MAX_VISITS, Sequence
from stepwell.programs.flow.nodes.strands import within

Filter = dict[str, Any]


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled retry policy."""

    at: str
    when: Expression | None = None
    except_when: Expression | None = None
    delay: Length | None = None
    backoff: Literal["constant", "linear", "exponential"] = "constant"
    count: int = MAX_VISITS
    attempt_limit: Length | None = None
    limit: Length | None = None
    jitter: tuple[Length, Length] | None = None


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled `catch`. `wanted` are the members an error must have."""

    at: str
    variable: str
    wanted: Filter
    when: Expression | None = None
    except_when: Expression | None = None
    retry: Retry | None = None
    body: Sequence | None = None


class TryNode:
    def __init__(self, body: Sequence, handler: Handler, at: str) -> None:
        self._body = body
        self._handler = handler
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        started_at = scope.strand.ctx.now
        attempt = 0
        while True:
            attempt += 1
            here = f"{key}~{attempt}" if attempt > 1 else key
            try:
                return await self._attempt(scope, here, value)
            except ProgramError as raised:
                error = raised
            inner = scope.inside(f"{here}/catch/do", {self._handler.variable: error_value(error.problem)})
            if not await self._catches(error.problem, inner, value):
                raise error
            retry = self._handler.retry
            if retry is None or not await self._waits(retry, inner, value, key, attempt, error, started_at):
                return await self._handle(inner, value, error)

    async def _attempt(self, scope: Scope, key: str, value: Any) -> Any:
        inner = scope.inside(f"{key}/try")
        limit = self._handler.retry.attempt_limit if self._handler.retry else None
        if limit is None:
            return await self._body.run(inner, value)
        seconds = await limit.seconds(scope, value)
        return await within(inner, key, seconds, lambda strand: self._body.run(strand, value), self._at)

    async def _catches(self, problem: Problem, scope: Scope, value: Any) -> bool:
        handler = self._handler
        return matches(handler.wanted, problem) and await _allowed(handler, scope, value)

    async def _waits(
        self, retry: Retry, scope: Scope, value: Any, key: str, attempt: int, error: ProgramError, started_at: float
    ) -> bool:
        """Whether there is another attempt; returns when its time has come."""
        ctx = scope.strand.ctx
        delay_s = await self._delay_s(retry, scope, value, f"{key}~{attempt}", attempt, error.problem)
        granted = (
            attempt <= min(retry.count, MAX_VISITS)
            and self._is_worth_it(error.problem)
            and await _allowed(retry, scope, value)
        )
        if granted and retry.limit is not None:
            granted = ctx.now - started_at + delay_s <= await retry.limit.seconds(scope, value)
        decided = await ctx.record(f"{key}~{attempt}/retry", {"granted": granted, "delay_s": delay_s})
        if decided["granted"] and decided["delay_s"] > 0:
            await ctx.sleep_until(f"{key}~{attempt}/delay", ctx.now + decided["delay_s"])
        return bool(decided["granted"])

    def _is_worth_it(self, problem: Problem) -> bool:
        """An author who names the errors to catch wants them tried again; else the error itself says."""
        return problem.retryable or bool(self._handler.wanted) or self._handler.when is not None

    @staticmethod
    async def _delay_s(retry: Retry, scope: Scope, value: Any, key: str, attempt: int, problem: Problem) -> float:
        """The delay before the next attempt; never less than what the failing side asked for."""
        base = await retry.delay.seconds(scope, value) if retry.delay else 0.0
        factor = {"constant": 1.0, "linear": float(attempt), "exponential": 2.0 ** min(attempt - 1, 64)}
        delay_s = base * factor[retry.backoff]
        if retry.jitter is not None:
            least, most = [await length.seconds(scope, value) for length in retry.jitter]
            delay_s += least + (most - least) * _unit(f"{scope.strand.ctx.run.id}{key}")
        return max(delay_s, problem.retry_after_s or 0.0)

    async def _handle(self, scope: Scope, value: Any, error: ProgramError) -> Any:
        if self._handler.body is not None:
            return await self._handler.body.run(scope, value)
        if self._handler.retry is not None:
            raise error
        return value


def matches(wanted: Filter, problem: Problem) -> bool:
    """Whether an error has all members wanted; types are compared by their last path segment."""
    for name, value in wanted.items():
        if name == "type":
            if last_segment(value) != last_segment(problem.type):
                return False
        elif getattr(problem, name) != value:
            return False
    return True


def last_segment(kind: str) -> str:
    return kind.rstrip("/").rpartition("/")[2]


def error_value(problem: Problem) -> dict[str, Any]:
    """An error as expressions see it: RFC 9457 members, without those that are empty."""
    value = {
        "type": problem.type,
        "status": problem.status,
        "title": problem.title,
        "detail": problem.detail,
        "instance": problem.instance,
        "data": problem.data,
    }
    return {name: item for name, item in value.items() if item not in ("", None)}


async def _allowed(rule: Handler | Retry, scope: Scope, value: Any) -> bool:
    """`when` holds and `exceptWhen` does not, as far as they are there."""
    if rule.when is not None:
        variables = scope.variables(rule.when, value)
        if not is_true(await evaluate(rule.when, value, variables, f"{rule.at}/when")):
            return False
    if rule.except_when is None:
        return True
    variables = scope.variables(rule.except_when, value)
    return not is_true(await evaluate(rule.except_when, value, variables, f"{rule.at}/exceptWhen"))


def _unit(seed: str) -> float:
    """A number in [0, 1) that is the same for the same seed: a program has no randomness."""
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest(), "big") / 2**64
