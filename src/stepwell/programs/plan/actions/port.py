"""What every type of step is to the runner."""

from typing import Any, Protocol

from stepwell.core.errors import ERROR_BASE, Problem, ProgramError
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.programs.plan.model import PlanStep
from stepwell.programs.plan.scope import Place


class Action(Protocol):
    """A compiled action."""

    BY_ITSELF: bool
    """Whether the step under its key in the history says what the output is; else the runner records it."""
    FAILS_BY_ITSELF: bool
    """The same for its error."""
    KEEPS_TIME: bool
    """Whether it sees to the step's `timeout_s` itself."""
    REPEATS: bool
    """Whether it sees to the step's `retry` itself."""

    async def perform(self, place: Place) -> Any:
        """The output. Raises `ProgramError` that names what a retry of the run must forget."""


class GoToError(ProgramError):
    """A failure that leads to another step, whatever `on_error` says."""

    def __init__(self, error: ProgramError, target: str) -> None:
        super().__init__(error.problem, error.forget)
        self.target = target


def problem(code: str, detail: str, *, status: int = 500, **rest: Any) -> Problem:
    """A failure of a plan's own, by its code."""
    title = f"{code.replace('_', ' ').capitalize()} error"
    return Problem(type=ERROR_BASE + code, title=title, status=status, detail=detail, **rest)


def policy_of(step: PlanStep, default: RetryPolicy = NO_RETRY) -> RetryPolicy:
    """How a step is tried again. A time-out is the engine's word on an attempt, so it is ruled out here."""
    policy = default if step.retry is None else step.retry
    if worth_it(step, "step_timeout", 408):
        return policy
    return RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_s=policy.initial_s,
        multiplier=policy.multiplier,
        max_s=policy.max_s,
        jitter=policy.jitter,
        backoff=policy.backoff,
        give_up_on=(*policy.give_up_on, "timeout"),
    )


def worth_it(step: PlanStep, code: str, status: int) -> bool:
    """Whether `retry_on` lets an error be tried again. `timeout` stands for all time-outs, `http_5xx` for a class."""
    if step.retry_on is None:
        return True
    forms = {code, f"http_{status // 100}xx" if code.startswith("http_") else code}
    if code.endswith("timeout"):
        forms.add("timeout")
    return not forms.isdisjoint(step.retry_on)
