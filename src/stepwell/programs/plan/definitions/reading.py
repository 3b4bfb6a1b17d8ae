"""From a definition document to a plan. A step at fault is stood in for, so that the faults of the others show too.

What steps do is written as in a template, under `inputs`; what is around them has names of its own.
"""

from typing import Any, Final

import msgspec

from stepwell.core.retry import RetryPolicy
from stepwell.programs.flow.check import BROKEN, Broken, Check, describe
from stepwell.programs.plan import model as m
from stepwell.programs.plan.definitions import wire
from stepwell.programs.plan.templates.reading import ACTIONS, MAX_NESTING, read_task, slug
from stepwell.programs.plan.templates.wire import ForEachConfig, read_part

WORDS: Final = m.Words(
    key="id",
    config="inputs",
    depends_on="dependsOn",
    on_error="onError",
    when="condition",
    output_schema="outputSchema",
    variables="inputs",
    env="envs",
    fields={**m.TEMPLATE_WORDS.fields, "workflow": "workflow_id"},
)
_TYPES: Final = {"human_review": "approval"}
"""The types that a template calls otherwise; an `activity` is its `task`."""


def read_definition(value: Any, check: Check) -> m.Plan | Broken:
    """The plan of a document's JSON value; BROKEN when too little of it can be read. Faults are noted."""
    document = read_part(wire.Definition, value, "", check)
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list):
        return BROKEN
    if not value["steps"]:
        check.fault("/steps", "expected at least one step, found none")
    steps = _read_steps(value["steps"], "/steps", check, depth=1)
    inputs = _parts(wire.Input, value.get("inputs"), "/inputs", check)
    envs = _parts(wire.Env, value.get("envs"), "/envs", check)
    _check_names(value.get("envs"), envs, check)
    if steps is None:
        return BROKEN
    whole = isinstance(document, wire.Definition) and BROKEN not in inputs
    plan = m.Plan(
        name="",
        steps=steps,
        variables=tuple(_variable(one) for one in inputs if isinstance(one, wire.Input)),
        additional_variables=not whole,  # what could not be read may be declared
        env=tuple(
            m.Env(name=one.name, value=one.value, secret=one.secret) for one in envs if isinstance(one, wire.Env)
        ),
        words=WORDS,
    )
    if not isinstance(document, wire.Definition):
        return plan
    return msgspec.structs.replace(
        plan,
        name=document.name,
        output=document.output,
        timeout_s=document.timeout_s,
        max_parallel=document.max_parallel,
    )


# --- inputs and envs ------------------------------------------------------------------------------------------------


def _parts(kind: Any, listed: Any, at: str, check: Check) -> list[Any]:
    """Each part of a list, BROKEN where it is wrong; that it is a list at all was checked before."""
    if not isinstance(listed, list):
        return []
    return [read_part(kind, one, f"{at}/{place}", check) for place, one in enumerate(listed)]


def _variable(found: wire.Input) -> m.Variable:
    return m.Variable(
        name=found.name,
        type=found.type,
        label=found.label,
        description=found.description,
        required=found.required,
        default=found.default,
        enum=found.enum,
        pattern=found.pattern,
        accept=found.accept,
        hidden=found.secret,
    )


def _check_names(listed: Any, envs: list[Any], check: Check) -> None:
    """An env has one value: two of a name are a mistake."""
    seen: set[str] = set()
    for place, env in enumerate(envs):
        if not isinstance(env, wire.Env):
            continue
        if env.name in seen:
            at = f"/envs/{place}/name"
            check.fault(at, f"expected a name of its own, found {describe(listed[place]['name'])} a second time")
        seen.add(env.name)


# --- steps ----------------------------------------------------------------------------------------------------------


def _read_steps(listed: list[Any], at: str, check: Check, *, depth: int) -> tuple[m.PlanStep, ...] | None:
    """The steps of one list; None when one is so far off that the others cannot be judged."""
    found = [_read_step(value, f"{at}/{place}", check, depth) for place, value in enumerate(listed)]
    return None if None in found else tuple(step for step in found if step is not None)


def _read_step(value: Any, at: str, check: Check, depth: int) -> m.PlanStep | None:
    step = read_part(wire.Step, value, at, check)
    if not isinstance(step, wire.Step):
        return _stand_in(value, at)
    key = step.id if step.id is not None else slug(step.name or "")
    if not key:
        check.fault(f"{at}/id", "expected an id, or a name that gives one, found neither")
        return None
    action = _read_action(step, check, depth)
    return m.PlanStep(
        key=key,
        name=step.name or key,
        at=at,
        action=m.Wait(seconds=0) if isinstance(action, Broken) else action,
        depends_on=step.depends_on,
        retry=None if step.retry is None else _policy(step.retry),
        retry_on=None if step.retry is None else step.retry.retry_on,
        timeout_s=step.timeout_s,
        heartbeat_timeout_s=step.heartbeat_s,
        on_error=step.on_error,
        when=step.condition,
        output_schema=step.output_schema,
        compensate=_read_compensate(step, check),
    )


def _stand_in(value: Any, at: str) -> m.PlanStep | None:
    """A step that is not right, as far as others depend on it."""
    if not isinstance(value, dict):
        return None
    id, name, depends_on = value.get("id"), value.get("name"), value.get("dependsOn")
    key = slug(name) if id is None and isinstance(name, str) else id
    if not isinstance(key, str) or not key or not isinstance(depends_on, list | None):
        return None
    if not all(isinstance(one, str) for one in depends_on or ()):
        return None
    waits_for = None if depends_on is None else tuple(depends_on)
    return m.PlanStep(key=key, name=key, at=at, action=m.Wait(seconds=0), depends_on=waits_for)


def _policy(retry: wire.Retry) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=retry.max_attempts,
        initial_s=retry.initial_s,
        multiplier=retry.multiplier,
        max_s=retry.max_s,
        jitter=retry.jitter,
        backoff=retry.backoff,
    )


# --- what they do ---------------------------------------------------------------------------------------------------


def _read_action(step: wire.Step, check: Check, depth: int) -> m.Action | Broken:
    at = f"{step.at}/inputs"
    if step.type == "activity":
        return _read_activity(step, at, check)
    if step.action is not None:
        return check.fault(f"{step.at}/action", f"expected none for the type {step.type!r}, found one")
    if step.type == "foreach":
        return _read_foreach(step.inputs, at, check, depth)
    kind, made = ACTIONS[_TYPES.get(step.type, step.type)]
    found = read_part(kind, step.inputs, at, check)
    return BROKEN if isinstance(found, Broken) else made(found)


def _read_activity(step: wire.Step, at: str, check: Check) -> m.Task | Broken:
    inputs = step.inputs
    if not isinstance(inputs, dict):
        return check.fault(at, f"expected an object, found {describe(inputs)}")
    if step.action is None:
        return read_task(inputs, at, check)
    if "action" in inputs:
        return check.fault(f"{at}/action", "expected none beside the step's own action, found one")
    if step.action not in ("http.request", "function"):
        text = f"expected 'http.request' or 'function', found {describe(step.action)}"
        return check.fault(f"{step.at}/action", text)
    return read_task({**inputs, "action": step.action}, at, check)


def _read_compensate(step: wire.Step, check: Check) -> m.Task | None:
    if step.compensate is None:
        return None
    found = read_task(step.compensate, f"{step.at}/compensate", check)
    return None if isinstance(found, Broken) else found


def _read_foreach(inputs: Any, at: str, check: Check, depth: int) -> m.Action | Broken:
    if depth >= MAX_NESTING:
        return check.fault(at, f"expected at most {MAX_NESTING - 1} foreach inside each other, found more")
    found = read_part(ForEachConfig, inputs, at, check)
    if isinstance(found, Broken):
        return found
    steps = _read_steps(list(found.steps), f"{at}/steps", check, depth=depth + 1)
    if steps is None:
        return BROKEN
    return m.ForEach(items=found.items, steps=steps, max_parallel=found.max_parallel)
