"""From a template document to a plan. A step at fault is stood in for, so that the faults of the others show too."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.core.approvals import ROLE
from stepwell.core.retry import RetryPolicy
from stepwell.programs.flow.check import BROKEN, Broken, Check, describe, hint
from stepwell.programs.plan import model as m
from stepwell.programs.plan.templates import wire

MAX_NESTING: Final = 4
"""A `foreach` inside another."""


def read_template(value: Any, check: Check) -> m.Plan | Broken:
    """The plan of a document's JSON value; BROKEN when too little of it can be read. Faults are noted."""
    document = wire.read_part(wire.Template, value, "", check)
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list):
        return BROKEN
    if not value["steps"]:
        check.fault("/steps", "expected at least one step, found none")
    steps = _read_steps(value["steps"], "/steps", check, depth=1)
    variables, all_known = _read_variables(value.get("variables") or [], check)
    if steps is None:
        return BROKEN
    if not isinstance(document, wire.Template):
        env = tuple(m.Env(name=name) for name in _names(value.get("env")))
        return m.Plan(name="", steps=steps, variables=variables, additional_variables=True, env=env)
    return m.Plan(
        name=document.name,
        steps=steps,
        output=document.output,
        timeout_s=document.timeout_seconds,
        max_parallel=document.max_parallel,
        variables=variables,
        additional_variables=document.additional_variables or not all_known,
        env=_read_env(document.env, check),
        compensate_on=document.compensate_on,
    )


# --- variables ------------------------------------------------------------------------------------------------------


def _read_variables(listed: Any, check: Check) -> tuple[tuple[m.Variable, ...], bool]:
    """The variables, and whether each could be read."""
    if not isinstance(listed, list):
        return (), False
    found = [wire.read_part(wire.Variable, one, f"/variables/{place}", check) for place, one in enumerate(listed)]
    whole = [one for one in found if isinstance(one, wire.Variable)]
    return tuple(map(_variable, whole)), len(whole) == len(found)


def _variable(found: wire.Variable) -> m.Variable:
    return m.Variable(
        name=found.name,
        type=found.type,
        required=found.required,
        default=found.default,
        enum=found.enum,
        pattern=found.pattern,
        description=found.description,
        hidden=found.secret,
    )


def _read_env(value: Any, check: Check) -> tuple[m.Env, ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        check.fault("/env", f"expected an object of names and texts, found {describe(value)}")
        return ()
    for name, text in value.items():
        if not isinstance(text, str):
            check.fault(f"/env/{name}", f"expected text, found {describe(text)}")
    return tuple(m.Env(name=name, value=str(text)) for name, text in value.items())


def _names(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []


# --- steps ----------------------------------------------------------------------------------------------------------


def _read_steps(listed: list[Any], at: str, check: Check, *, depth: int) -> tuple[m.PlanStep, ...] | None:
    """The steps of one list; None when one is so far off that the others cannot be judged."""
    found = [_read_step(value, f"{at}/{place}", check, depth) for place, value in enumerate(listed)]
    return None if any(step is None for step in found) else tuple(step for step in found if step is not None)


def _read_step(value: Any, at: str, check: Check, depth: int) -> m.PlanStep | None:
    step = wire.read_part(wire.Step, value, at, check)
    if not isinstance(step, wire.Step):
        return _stand_in(value, at)
    key = step.key if step.key is not None else slug(step.name or "")
    if not key:
        check.fault(f"{at}/key", "expected a key, or a name that gives one, found neither")
        return None
    action = _read_action(step, check, depth)
    retry = step.retry
    return m.PlanStep(
        key=key,
        name=step.name or key,
        at=at,
        action=m.Wait(seconds=0) if isinstance(action, Broken) else action,
        depends_on=step.depends_on,
        retry=None if retry is None else _policy(retry),
        retry_on=None if retry is None else retry.retry_on,
        timeout_s=step.timeout_seconds,
        heartbeat_timeout_s=step.heartbeat_timeout_seconds,
        on_error=step.on_error,
        when=step.when,
        output_schema=step.output_schema,
        compensate=_read_compensate(step, check),
    )


def _stand_in(value: Any, at: str) -> m.PlanStep | None:
    """A step that is not right, as far as others depend on it."""
    if not isinstance(value, dict):
        return None
    key, name, depends_on = value.get("key"), value.get("name"), value.get("depends_on")
    key = slug(name) if key is None and isinstance(name, str) else key
    if not isinstance(key, str) or not key or not isinstance(depends_on, list | None):
        return None
    if not all(isinstance(one, str) for one in depends_on or ()):
        return None
    waits_for = None if depends_on is None else tuple(depends_on)
    return m.PlanStep(key=key, name=key, at=at, action=m.Wait(seconds=0), depends_on=waits_for)


def slug(name: str) -> str:
    """A key out of a name: `Load the rows` is `load-the-rows`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:100]


def _policy(retry: wire.Retry) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=retry.max_attempts,
        initial_s=retry.initial_ms / 1000,
        multiplier=retry.multiplier,
        max_s=retry.max_ms / 1000,
        jitter=retry.jitter,
        backoff=retry.backoff,
    )


# --- what they do ---------------------------------------------------------------------------------------------------


def _read_action(step: wire.Step, check: Check, depth: int) -> m.Action | Broken:
    config, at = {} if step.config is None else step.config, f"{step.at}/config"
    if step.type == "task":
        return read_task(config, at, check)
    if step.type == "foreach":
        return _read_foreach(config, at, check, depth)
    kind, made = ACTIONS[step.type]
    found = wire.read_part(kind, config, at, check)
    return BROKEN if isinstance(found, Broken) else made(found)


def read_task(config: Any, at: str, check: Check) -> m.Task | Broken:
    action = config.get("action") if isinstance(config, dict) else None
    if action == "http.request":
        assert isinstance(config, dict), "it has an action"
        if config.get("agent_id") is None:
            config = {name: value for name, value in config.items() if name != "agent_id"}
        http = wire.read_part(wire.HttpConfig, config, at, check)
        return http if isinstance(http, Broken) else _http(http)
    if action == "function":
        function = wire.read_part(wire.FunctionConfig, config, at, check)
        return (
            function
            if isinstance(function, Broken)
            else m.FunctionTask(function=function.function, args=function.args)
        )
    known = ("http.request", "function")
    near = hint(action, known) if isinstance(action, str) else ""
    return check.fault(f"{at}/action", f"expected 'http.request' or 'function', found {describe(action)}{near}")


def _read_compensate(step: wire.Step, check: Check) -> m.Task | None:
    if step.compensate is None:
        return None
    found = read_task(step.compensate, f"{step.at}/compensate", check)
    return None if isinstance(found, Broken) else found


def _http(found: wire.HttpConfig) -> m.HttpTask:
    return m.HttpTask(url=found.url, method=found.method, headers=found.headers, query=found.query, body=found.body)


def _read_foreach(config: Any, at: str, check: Check, depth: int) -> m.Action | Broken:
    if depth >= MAX_NESTING:
        return check.fault(at, f"expected at most {MAX_NESTING - 1} foreach inside each other, found more")
    found = wire.read_part(wire.ForEachConfig, config, at, check)
    if isinstance(found, Broken):
        return found
    steps = _read_steps(list(found.steps), f"{at}/steps", check, depth=depth + 1)
    if steps is None:
        return BROKEN
    return m.ForEach(items=found.items, steps=steps, max_parallel=found.max_parallel)


def _approval(found: wire.ApprovalConfig) -> m.Approval:
    return m.Approval(
        prompt=found.prompt,
        title=found.title,
        schema=found.schema,
        context=found.context,
        approvers=_people(found.approvers),
        required=found.required,
        timeout_s=found.timeout_seconds,
        on_timeout=found.on_timeout,
        escalate_to=_people(found.escalate_to),
        allow_self_approval=found.allow_self_approval,
    )


def _people(found: wire.Approvers | None) -> tuple[str, ...]:
    return () if found is None else (*found.users, *(f"{ROLE}{role}" for role in found.roles))


ACTIONS: Final[Mapping[str, tuple[type[Any], Callable[[Any], m.Action]]]] = {
    "wait": (wire.WaitConfig, lambda found: m.Wait(seconds=found.seconds, until=found.until)),
    "approval": (wire.ApprovalConfig, _approval),
    "callback": (
        wire.CallbackConfig,
        lambda found: m.Callback(url=found.url, payload=found.payload, timeout_s=found.timeout_seconds),
    ),
    "condition": (
        wire.ConditionConfig,
        lambda found: m.Condition(test=found.if_, then=found.then, otherwise=found.else_),
    ),
    "subworkflow": (
        wire.SubWorkflowConfig,
        lambda found: m.SubWorkflow(workflow=found.template_id or found.workflow_id, input=found.input),
    ),
    "agent": (
        wire.AgentConfig,
        lambda found: m.Agent(
            prompt=found.prompt,
            system=found.system,
            model=found.model,
            tools=found.tools,
            max_turns=found.max_turns,
            output_schema=found.output_schema,
        ),
    ),
}
