"""The secrets of a run out of all that is kept or shown: by value, wherever they turn up."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from stepwell.core.errors import Problem, ProgramError, StepFailure
from stepwell.core.program import StepContext
from stepwell.core.status import Status
from stepwell.programs.flow.nodes.hiding import MASK, Hidden
from stepwell.programs.plan.model import ENV_INPUT, Plan

MIN_CHARACTERS: Final = 4
"""Shorter secrets are hidden in data only where they are a whole text: else they would tear it apart."""


class Veil:
    """Hides texts and numbers: in messages, and in JSON values, where short texts count only as a whole."""

    def __init__(self, secrets: Iterable[str | float] = ()) -> None:
        found = [secret for secret in secrets if secret != ""]
        self._numbers = frozenset(secret for secret in found if not isinstance(secret, str))
        self._whole = frozenset(map(str, found))
        self._parts = Hidden(secret for secret in self._whole if len(secret) >= MIN_CHARACTERS)
        self.hidden = Hidden(self._whole)
        """For what speaks HTTP."""

    def __bool__(self) -> bool:
        return bool(self._whole)

    def value(self, value: Any) -> Any:
        """A JSON value without the secrets; the same object when there are none to hide."""
        return self._value(value) if self._whole else value

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return MASK if value in self._whole else self._parts.text(value)
            case Mapping():
                return {self._parts.text(str(name)): self._value(item) for name, item in value.items()}
            case list() | tuple():
                return [self._value(item) for item in value]
            case int() | float() if value in self._numbers and not isinstance(value, bool):
                return MASK
        return value

    def problem(self, problem: Problem) -> Problem:
        if not self._whole:
            return problem
        return msgspec.structs.replace(
            problem,
            title=self.hidden.text(problem.title),
            detail=self.hidden.text(problem.detail),
            data=self._value(problem.data),
        )


NO_VEIL = Veil()


def veil_of(plan: Plan, input: Any) -> Veil:
    """What hides the secrets of one run."""
    return Veil(secret_texts(plan, input))


def secret_texts(plan: Plan, input: Any) -> Iterator[str | float]:
    """All that must not be seen of one run: its secret inputs, and secret values of the plan itself."""
    given = input if isinstance(input, Mapping) else {}
    env = given_env(input)
    hidden = [given.get(name) for name in plan.secret_inputs]
    hidden += [
        value for variable in plan.env if variable.secret for value in (variable.value, env.get(variable.name))
    ]
    hidden += [variable.default for variable in plan.variables if variable.secret]
    return (found for value in hidden for found in _scalars(value))


def shown_input(plan: Plan, input: Any) -> Any:
    """A run's input as anybody may see it."""
    if not isinstance(input, Mapping):
        return input
    shown = {name: value for name, value in input.items() if name != ENV_INPUT}
    secret = {name: MASK for name in plan.secret_inputs if shown.get(name) is not None}
    return veil_of(plan, input).value({**shown, **secret})


def given_env(input: Any) -> Mapping[str, Any]:
    """The values that win over the plan's own, from a run's input."""
    found = input.get(ENV_INPUT) if isinstance(input, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _scalars(value: Any) -> Iterator[str | float]:
    """The texts and numbers in a JSON value."""
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _scalars(item)
        case list() | tuple():
            for item in value:
                yield from _scalars(item)
        case int() | float() if not isinstance(value, bool):
            yield value


class RunVeil(Veil):
    """What hides the secrets of one run from who looks at it (`core.program.Hiding`)."""

    def __init__(self, plan: Plan, input: Any) -> None:
        super().__init__(secret_texts(plan, input))
        self._plan = plan

    def input(self, value: Any) -> Any:
        return shown_input(self._plan, value)


class UndoingVeil(RunVeil):
    """The same for the run that undoes one, in whose input that one's input is."""

    def __init__(self, plan: Plan, input: Any) -> None:
        super().__init__(plan, input.get("input") if isinstance(input, dict) else None)

    def input(self, value: Any) -> Any:
        shown = {**value, "input": super().input(value.get("input"))} if isinstance(value, dict) else value
        return self.value(shown)


class VeiledStep:
    """A `StepContext` that puts no secrets on the stream."""

    def __init__(self, step: StepContext, veil: Veil) -> None:
        self._step = step
        self._veil = veil
        self.run_id, self.key, self.attempt = step.run_id, step.key, step.attempt

    @property
    def traceparent(self) -> str:
        return self._step.traceparent

    @property
    def idempotency_key(self) -> str:
        return self._step.idempotency_key

    @property
    def status(self) -> Status:
        return self._step.status

    def heartbeat(self) -> None:
        self._step.heartbeat()

    def think(self, text: str) -> None:
        self._step.think(self._veil.value(text))

    def progress(self, fraction: float) -> None:
        self._step.progress(fraction)

    def publish(self, item: Any) -> None:
        self._step.publish(self._veil.value(item))

    async def saved(self) -> None:
        await self._step.saved()

    def late(self, value: Any = None, error: BaseException | None = None) -> None:
        if isinstance(error, StepFailure | ProgramError):
            error = StepFailure(self._veil.problem(error.problem))
        self._step.late(self._veil.value(value), error)
