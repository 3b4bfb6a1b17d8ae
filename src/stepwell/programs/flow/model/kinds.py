"""From the properties of a task to its kind, and for calls from what is called."""

from typing import Any

from stepwell.programs.flow.binding import reader_of
from stepwell.programs.flow.check import Check, describe, hint, one_of
from stepwell.programs.flow.model import tasks

KINDS: dict[str, type[tasks.Task]] = {
    "call": tasks.CallFunction,
    "do": tasks.DoTask,
    "emit": tasks.EmitTask,
    "for": tasks.ForTask,
    "fork": tasks.ForkTask,
    "listen": tasks.ListenTask,
    "raise": tasks.RaiseTask,
    "run": tasks.RunTask,
    "set": tasks.SetTask,
    "switch": tasks.SwitchTask,
    "try": tasks.TryTask,
    "wait": tasks.WaitTask,
}
CALLS: dict[str, type[tasks.Task]] = {
    "a2a": tasks.CallAgent,
    "agent": tasks.CallLanguageModel,
    "approval": tasks.CallApproval,
    "asyncapi": tasks.CallAsyncApi,
    "callback": tasks.CallCallback,
    "grpc": tasks.CallGrpc,
    "http": tasks.CallHttp,
    "mcp": tasks.CallMcp,
    "openapi": tasks.CallOpenApi,
}


def read_task(value: Any, at: str, check: Check) -> Any:
    """One task of any kind."""
    if not isinstance(value, dict):
        return check.fault(at, f"expected a task (an object), found {describe(value)}")
    found = [name for name in KINDS if name in value and not (name == "do" and "for" in value)]
    if not found:
        near = next((near for name in value if (near := hint(name, KINDS))), "")
        return check.fault(at, f"expected a task with one of {one_of(KINDS)}, found {_names(value)}{near}")
    if len(found) > 1:
        found = [name for name in value if name in found]
        return check.fault(f"{at}/{found[1]}", f"expected one kind of task, found {' and '.join(map(repr, found))}")
    return read_call(value, at, check) if found == ["call"] else reader_of(KINDS[found[0]])(value, at, check)


def read_call(value: dict[str, Any], at: str, check: Check) -> Any:
    """A task that calls something."""
    called = value["call"]
    if not isinstance(called, str) or not called:
        return check.fault(f"{at}/call", f"expected the name of a function, found {describe(called)}")
    kind = CALLS.get(called, tasks.CallFunction)
    if kind is tasks.CallFunction:
        _check_function(called, f"{at}/call", check)
    return reader_of(kind)(value, at, check)


def kind_of_task(task: tasks.Task) -> str:
    """The kind of a task as extensions name it."""
    if isinstance(task, tasks.DoTask | tasks.ForkTask):
        return "composite"
    return next((kind for kind, part in KINDS.items() if isinstance(task, part)), "call")


def _check_function(called: str, at: str, check: Check) -> None:
    if "://" in called:
        check.unsupported(at, f"the call of a function by its address ({describe(called)})")
    elif "@" in called:
        check.unsupported(at, f"the call of a function of a catalog ({describe(called)})")
    elif check.functions is not None:
        known = {*check.functions.names(), *check.used("functions"), *CALLS}
        if called not in known:
            check.fault(
                at,
                f"expected a function that is registered or in use.functions, "
                f"found {describe(called)}{hint(called, known)}",
            )


def _names(value: dict[str, Any]) -> str:
    return "only " + " and ".join(describe(name) for name in list(value)[:5]) if value else "an empty object"
