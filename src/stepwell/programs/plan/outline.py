"""The outline of a plan: what of it a view shows before a run comes to it, and a digest of each step."""

import hashlib

import msgspec

from stepwell.core.program import StepOutline
from stepwell.programs.plan.dependencies import Level
from stepwell.programs.plan.model import TYPE_NAMES, ForEach, FunctionTask, PlanStep, with_retry
from stepwell.programs.plan.scope import Services


def outline_of(steps: tuple[PlanStep, ...], services: Services) -> tuple[StepOutline, ...]:
    """In the order of the list."""
    level = Level(steps)
    return tuple(_outline(step, level, services) for step in steps)


def _outline(step: PlanStep, level: Level, services: Services) -> StepOutline:
    inner: tuple[PlanStep, ...] = ()
    if isinstance(step.action, ForEach):
        inner = tuple(with_retry(one, step) if one.retry is None else one for one in step.action.steps)
    return StepOutline(
        key=step.key,
        name=step.name,
        type=TYPE_NAMES[type(step.action)],
        depends_on=level.after[step.key],
        max_attempts=_max_attempts(step, services),
        timeout_s=step.timeout_s,
        heartbeat_timeout_s=step.heartbeat_timeout_s,
        steps=outline_of(inner, services) if inner else (),
        digest=digest_of(step),
        undoable=step.compensate is not None,
    )


def _max_attempts(step: PlanStep, services: Services) -> int:
    if step.retry is not None and not isinstance(step.action, ForEach):
        return step.retry.max_attempts
    function = services.find(step.action.function) if isinstance(step.action, FunctionTask) else None
    return 1 if function is None else function.retry.max_attempts


def digest_of(step: PlanStep) -> str:
    """A hash of all that makes a step's outcome: the same in another version as long as that says the same. Where it
    stands in its document, and what it is called, do not count."""
    text = msgspec.json.encode(_bare(step), order="sorted")
    return hashlib.sha256(text).hexdigest()[:32]


def _bare(step: PlanStep) -> PlanStep:
    action = step.action
    if isinstance(action, ForEach):
        action = msgspec.structs.replace(action, steps=tuple(map(_bare, action.steps)))
    return msgspec.structs.replace(step, at="", name="", action=action)
