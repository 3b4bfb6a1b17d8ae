"""Retry policies: data that turns a number of failures into a delay, or into "no more".

Pure: the jitter is a hash of the run, the key and the attempt, so the same failure always gets the same delay.
"""

import hashlib
from typing import Literal, assert_never

import msgspec

from stepwell.core.errors import Problem


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to try a step again.

    `max_attempts` counts the first try too. Delays are in seconds: `constant` waits `initial_s` each time,
    `linear` `initial_s * n`, `exponential` `initial_s * multiplier ** (n - 1)` after the n-th failure, at most
    `max_s`, then spread by `jitter` (0.2 = plus or minus 20 %). `give_up_on` lists error types (compared by
    their last path segment) that are final at once.
    """

    max_attempts: int = 3
    initial_s: float = 1.0
    multiplier: float = 2.0
    max_s: float = 60.0
    jitter: float = 0.2
    backoff: Literal["constant", "linear", "exponential"] = "exponential"
    give_up_on: tuple[str, ...] = ()


NO_RETRY = RetryPolicy(max_attempts=1)


def next_delay_s(policy: RetryPolicy, failures: int, problem: Problem, seed: str) -> float | None:
    """Seconds before the next attempt after `failures` failures, or None when there is none.

    A target's own `retry_after_s` overrides the computed delay; both are capped by `max_s`.
    """
    if failures >= policy.max_attempts or not problem.retryable or _is_final(policy, problem):
        return None
    if problem.retry_after_s is not None:
        return min(policy.max_s, max(0.0, problem.retry_after_s))
    return min(policy.max_s, backoff_s(policy, failures)) * _spread(policy.jitter, seed)


def backoff_s(policy: RetryPolicy, failures: int) -> float:
    """The uncapped delay, in seconds and without jitter, after `failures` failures (counted from 1)."""
    match policy.backoff:
        case "constant":
            return policy.initial_s
        case "linear":
            return policy.initial_s * failures
        case "exponential":
            # Beyond 64 doublings the cap has long been reached; bounding the exponent avoids an overflow.
            return float(policy.initial_s * policy.multiplier ** min(failures - 1, 64))
        case _:
            assert_never(policy.backoff)


def _is_final(policy: RetryPolicy, problem: Problem) -> bool:
    return problem.type.rsplit("/", 1)[-1] in {name.rsplit("/", 1)[-1] for name in policy.give_up_on}


def _spread(jitter: float, seed: str) -> float:
    """A factor in [1 - jitter, 1 + jitter], the same for the same seed."""
    if jitter <= 0:
        return 1.0
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    unit = int.from_bytes(digest, "big") / 2**64
    return 1.0 + jitter * (2.0 * unit - 1.0)
