"""Retry policies: tables, and what must hold for every policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.core.errors import ERROR_BASE, Problem
from stepwell.core.retry import NO_RETRY, RetryPolicy, backoff_s, next_delay_s

BOOM = Problem(type="boom")
PLAIN = RetryPolicy(max_attempts=9, initial_s=2.0, multiplier=3.0, max_s=100.0, jitter=0.0)

DELAYS: list[tuple[str, RetryPolicy, list[float]]] = [
    ("exponential", PLAIN, [2.0, 6.0, 18.0, 54.0, 100.0, 100.0]),
    ("linear", RetryPolicy(max_attempts=9, initial_s=2.0, jitter=0.0, backoff="linear"), [2.0, 4.0, 6.0, 8.0]),
    ("constant", RetryPolicy(max_attempts=9, initial_s=2.0, jitter=0.0, backoff="constant"), [2.0, 2.0, 2.0]),
    ("capped", RetryPolicy(max_attempts=9, initial_s=2.0, jitter=0.0, max_s=1.5), [1.5, 1.5]),
]


@pytest.mark.parametrize(("name", "policy", "delays"), DELAYS, ids=[row[0] for row in DELAYS])
def test_delay_after_each_failure(name: str, policy: RetryPolicy, delays: list[float]) -> None:
    assert [next_delay_s(policy, n, BOOM, "seed") for n in range(1, len(delays) + 1)] == delays, name


FINAL: list[tuple[str, RetryPolicy, int, Problem]] = [
    ("the last attempt", RetryPolicy(max_attempts=3), 3, BOOM),
    ("no retry at all", NO_RETRY, 1, BOOM),
    ("what cannot get better", PLAIN, 1, Problem(type="boom", retryable=False)),
    ("a type to give up on", RetryPolicy(give_up_on=("boom",)), 1, BOOM),
    ("by its last segment", RetryPolicy(give_up_on=("timeout",)), 1, Problem(type=ERROR_BASE + "timeout")),
    ("whatever its base", RetryPolicy(give_up_on=("https://x.y/timeout",)), 1, Problem(type=ERROR_BASE + "timeout")),
]


@pytest.mark.parametrize(("name", "policy", "failures", "problem"), FINAL, ids=[row[0] for row in FINAL])
def test_failure_is_final(name: str, policy: RetryPolicy, failures: int, problem: Problem) -> None:
    assert next_delay_s(policy, failures, problem, "seed") is None, name


@pytest.mark.parametrize(("asked", "given_s"), [(30.0, 30.0), (0.0, 0.0), (-5.0, 0.0), (1e9, 100.0)])
def test_target_may_ask_for_a_delay_up_to_the_cap(asked: float, given_s: float) -> None:
    assert next_delay_s(PLAIN, 1, Problem(type="boom", retry_after_s=asked), "seed") == given_s


def test_late_failures_do_not_overflow() -> None:
    assert next_delay_s(RetryPolicy(max_attempts=10_001, jitter=0.0), 10_000, BOOM, "seed") == 60.0


policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 50),
    initial_s=st.floats(0, 1e6),
    multiplier=st.floats(1, 100),
    max_s=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    backoff=st.sampled_from(("constant", "linear", "exponential")),
)


@given(policies, st.integers(1, 60), st.text())
def test_delay_lies_within_the_jitter_around_the_backoff(policy: RetryPolicy, failures: int, seed: str) -> None:
    delay_s = next_delay_s(policy, failures, BOOM, seed)
    assert (delay_s is None) is (failures >= policy.max_attempts)
    if delay_s is not None:
        middle = min(policy.max_s, backoff_s(policy, failures))
        assert middle * (1 - policy.jitter) * 0.999 <= delay_s <= middle * (1 + policy.jitter) * 1.001


@given(policies, st.integers(1, 60), st.text())
def test_same_failure_always_gets_the_same_delay(policy: RetryPolicy, failures: int, seed: str) -> None:
    assert next_delay_s(policy, failures, BOOM, seed) == next_delay_s(policy, failures, BOOM, seed)


def test_jitter_spreads_runs_that_failed_together() -> None:
    delays = {next_delay_s(RetryPolicy(), 1, BOOM, f"run-{n}/s/1") for n in range(100)}
    assert len(delays) > 90
