"""Lists of named tasks: names that are used once, and `then` that goes to a task of the same list.

Whether a list can go round for ever without doing anything is checked in `loops`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from stepwell.programs.flow.binding import reader_of
from stepwell.programs.flow.check import BROKEN, Check, describe, hint, one_of
from stepwell.programs.flow.expressions.templates import escape

if TYPE_CHECKING:
    from stepwell.programs.flow.model.tasks import Case, Task

DIRECTIVES = ("continue", "exit", "end")

ItemReader = Callable[[dict[str, Any], str, Check], Any]


def read_tasks(value: Any, at: str, check: Check) -> Any:
    """A sequence of tasks: `then` may name any of them."""
    from stepwell.programs.flow.model.kinds import read_task
    from stepwell.programs.flow.model.loops import check_loops

    tasks = _read_items(value, at, check, read_task)
    check_targets(value, at, check, names_of(value))
    if tasks is not BROKEN:
        check_loops(tasks, check)
    return tasks


def read_branches(value: Any, at: str, check: Check) -> Any:
    """Tasks that run beside each other: no `then` between them."""
    from stepwell.programs.flow.model.kinds import read_task

    check_targets(value, at, check, ())
    return _read_items(value, at, check, read_task)


def read_cases(value: Any, at: str, check: Check) -> Any:
    """The cases of a `switch`: at least one, and one default at most."""
    from stepwell.programs.flow.model.tasks import Case

    if value == []:
        return check.fault(at, "expected at least one case, found an empty list")
    cases = _read_items(value, at, check, reader_of(Case))
    if cases is BROKEN:
        return BROKEN
    defaults = [case for case in cases if case.when is None]
    for case in defaults[1:]:
        check.fault(case.at, f"expected one case without 'when', found another one at {defaults[0].at}")
    return cases


def names_of(value: Any) -> list[str]:
    """The names in a list, as far as it is one."""
    items = value if isinstance(value, list) else []
    return [name for item in items if isinstance(item, dict) for name in item]


def check_targets(value: Any, at: str, check: Check, names: Collection[str]) -> None:
    """Every `then` of a list's tasks, and of the cases of its switches, must lead somewhere."""
    for place, task in _items_of(value, at):
        check_target(task, place, check, names)
        for inside, case in _items_of(task.get("switch"), f"{place}/switch"):
            check_target(case, inside, check, names)


def check_target(task: Mapping[str, Any], at: str, check: Check, names: Collection[str]) -> None:
    then = task.get("then", "continue")
    if not isinstance(then, str) or then in DIRECTIVES or then in names:
        return  # what is no text is the part's own fault
    known = "a task of the same list, " if names else ""
    check.fault(
        f"{at}/then",
        f"expected {known}{one_of(DIRECTIVES)}, found {describe(then)}{hint(then, [*names, *DIRECTIVES])}",
    )


def _items_of(value: Any, at: str) -> list[tuple[str, dict[str, Any]]]:
    """The well-formed items of a list of single entries: (pointer, body)."""
    items = enumerate(value) if isinstance(value, list) else ()
    return [
        (f"{at}/{position}/{escape(name)}", body)
        for position, item in items
        if isinstance(item, dict)
        for name, body in item.items()
        if isinstance(body, dict)
    ]


def _read_items(value: Any, at: str, check: Check, read_item: ItemReader) -> Any:
    if not isinstance(value, list):
        return check.fault(at, f"expected a list, found {describe(value)}")
    seen: dict[str, str] = {}
    items = [_read_item(item, f"{at}/{position}", check, read_item, seen) for position, item in enumerate(value)]
    return BROKEN if BROKEN in items else tuple(items)


def _read_item(item: Any, at: str, check: Check, read_item: ItemReader, seen: dict[str, str]) -> Any:
    if not isinstance(item, dict) or not item:
        return check.fault(at, f"expected an object with one name, found {describe(item)}")
    names = list(item)
    for other in names[1:]:
        check.fault(f"{at}/{escape(other)}", f"expected one name in each item, found {names[0]!r} and {other!r}")
    place = f"{at}/{escape(names[0])}"
    _check_name(names[0], place, check, seen)
    return read_item(item[names[0]], place, check)


def _check_name(name: str, place: str, check: Check, seen: dict[str, str]) -> None:
    if name in DIRECTIVES or not name:
        check.fault(place, f"expected a name other than {one_of(DIRECTIVES)}, found {name!r}")
    if (first := seen.setdefault(name, place)) != place:
        check.fault(place, f"expected each name once in a list, found {name!r} again, first at {first}")


TaskList = Annotated["tuple[Task, ...]", read_tasks]
BranchList = Annotated["tuple[Task, ...]", read_branches]
CaseList = Annotated["tuple[Case, ...]", read_cases]
