"""A `then` that goes back makes a loop. Refused is only one that could go round without ever doing anything:
a cycle in which no task is a `switch`, has an `if`, waits or does something durable.
"""

from stepwell.programs.flow.check import Check
from stepwell.programs.flow.model import tasks

_NOT_IDLE = (
    tasks.SwitchTask,
    tasks.ForkTask,
    tasks.RaiseTask,
    tasks.WaitTask,
    tasks.EmitTask,
    tasks.ListenTask,
    tasks.RunTask,
    tasks.CallFunction,
    tasks.CallHttp,
    tasks.CallApproval,
    tasks.CallGrpc,
    tasks.CallOpenApi,
    tasks.CallAsyncApi,
    tasks.CallMcp,
    tasks.CallAgent,
    tasks.CallCallback,
    tasks.CallLanguageModel,
)


def check_loops(listed: tuple[tasks.Task, ...], check: Check) -> None:
    """Fault every idle cycle of a list, at the `then` that closes it."""
    follows = idle_successors(listed)
    closed: set[int] = set()
    for start in follows:
        seen: list[int] = []
        position = start
        while position in follows and position not in seen:
            seen.append(position)
            position = follows[position]
        cycle = seen[seen.index(position) :] if position in seen else []
        if cycle and max(cycle) not in closed:
            closed.add(max(cycle))
            names = " -> ".join(listed[place].name for place in sorted(cycle))
            check.fault(
                f"{listed[max(cycle)].at}/then",
                f"expected a switch, an if, a wait or a durable step in the loop, found only {names}",
            )


def idle_successors(listed: tuple[tasks.Task, ...]) -> dict[int, int]:
    """For each task that does nothing durable and always goes on the same way: the position it goes to."""
    positions = {task.name: position for position, task in enumerate(listed)}
    found = {}
    for position, task in enumerate(listed):
        following = position + 1 if task.then == "continue" else positions.get(task.then)
        if following is not None and following < len(listed) and is_idle(task):
            found[position] = following
    return found


def is_idle(task: tasks.Task) -> bool:
    """Whether a task, with all inside it, does nothing durable and cannot be skipped."""
    if task.if_ is not None or task.timeout is not None or isinstance(task, _NOT_IDLE):
        return False
    match task:
        case tasks.DoTask() | tasks.ForTask():
            return all(is_idle(inner) for inner in task.do)
        case tasks.TryTask():
            return all(is_idle(inner) for inner in (*task.try_, *(task.catch.do or ())))
    return True
