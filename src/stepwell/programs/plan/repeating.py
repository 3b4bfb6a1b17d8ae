"""Attempts and time limits of steps that are more than one step of the history: a loop, and a race with a timer.

Keys: `~2` is the second attempt. That it is granted goes on record, with its error, before the delay begins.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from stepwell.core.errors import ProgramError, code_of
from stepwell.core.program import RaceResult, RunContext
from stepwell.core.retry import NO_RETRY, next_delay_s
from stepwell.programs.plan.actions.port import Action, problem, worth_it
from stepwell.programs.plan.scope import Place

Perform = Callable[[Place], Awaitable[Any]]


async def performed(action: Action, place: Place) -> Any:
    """What an action gives, within the limits of its step. Raises `ProgramError`."""
    perform: Perform = action.perform
    if not action.KEEPS_TIME and place.step.timeout_s is not None:
        perform = _timed(perform, place.step.timeout_s)
    if action.REPEATS or place.step.retry is None:
        return await perform(place)
    return await _repeated(perform, place)


async def _repeated(perform: Perform, place: Place) -> Any:
    policy = place.step.retry or NO_RETRY
    forget: list[str] = []  # of all attempts: a retry of the run begins with the first one again
    attempt = 0
    while True:
        attempt += 1
        key = place.key if attempt == 1 else f"{place.key}~{attempt}"
        try:
            return await perform(place.on(place.ctx, key))
        except ProgramError as raised:
            error = raised
        found = place.veil.problem(error.problem)
        retryable = found.retryable and worth_it(place.step, code_of(found), found.status)
        found = msgspec.structs.replace(found, retryable=retryable)
        delay_s = next_delay_s(policy, attempt, found, f"{place.ctx.run.id}/{key}")
        forget += [*error.forget, f"{key}/retry", f"{key}/delay"]
        if delay_s is None:
            raise ProgramError(found, tuple(dict.fromkeys(forget)))
        granted = await place.ctx.record(f"{key}/retry", {"error": msgspec.to_builtins(found), "delay_s": delay_s})
        await place.ctx.sleep(f"{key}/delay", granted["delay_s"], name=place.step.name)


def _timed(perform: Perform, seconds: float) -> Perform:
    async def within(place: Place) -> Any:
        timer = f"{place.key}/timeout/after"

        async def body(ctx: RunContext) -> Any:
            return await perform(place.on(ctx, place.key))

        async def wait(ctx: RunContext) -> None:
            await ctx.sleep(timer, seconds)
            text = f"expected an end within {seconds:g} s, found none"
            raise ProgramError(problem("step_timeout", text, status=408), (timer,))

        branches = {"body": body, "timer": wait}
        result = cast(RaceResult, await place.ctx.race(f"{place.key}/timeout", branches, until="first"))
        return result.value

    return within
