# ruff: noqa: E501  a document of one line is easier to read whole
"""`use.extensions`: which tasks they are for, what they see, what they change."""

from typing import Any

import pytest
from memory_run import Ending, MemoryRun, ending_of, run_through

from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"
LOG = "[{log: {call: log, with: {task: '${ $task.name }', seen: '${ . }', output: '${ $task.output }'}}}]"


def flow(extensions: str, do: str) -> tuple[Any, list[Any]]:
    functions, logged = Functions(), []

    @functions.function
    async def log(task: Any = None, seen: Any = None, output: Any = None) -> str:
        logged.append((task, seen, output))
        return "logged"

    text = f"{HEAD}use: {{extensions: [{extensions}]}}\ndo: {do}"
    return FlowPrograms(functions=functions).compile(text).program, logged


@pytest.mark.parametrize(
    ("kind", "tasks"),
    [
        ("all", ["s", "w", "d", "inner", "f", "each", "t", "tried", "c", "sw"]),
        ("set", ["s", "inner", "each", "tried"]),
        ("composite", ["d"]),
        ("for", ["f"]),
        ("try", ["t"]),
        ("call", ["c"]),
        ("switch", ["sw"]),
        ("wait", ["w"]),
    ],
)
async def test_kind_says_which_tasks_are_extended(kind: str, tasks: list[str]) -> None:
    program, logged = flow(
        f"{{e: {{extend: {kind}, before: {LOG}}}}}",
        (
            "[{s: {set: {a: [1]}}}, {w: {wait: PT1S}}, {d: {do: [{inner: {set: {a: [1]}}}]}}, {f: {for: {in: .a}, do: [{each: {set: {x: 1}}}]}},"
            " {t: {try: [{tried: {set: {x: 1}}}], catch: {}}}, {c: {call: log}}, {sw: {switch: [{d: {then: continue}}]}}]"
        ),
    )
    assert (await ending_of(MemoryRun(), program, None)).failure is None
    assert [name for name, _, _ in logged if name] == tasks


async def test_before_and_after_see_the_data_and_do_not_change_it() -> None:
    program, logged = flow(
        f"{{e: {{extend: set, before: {LOG}, after: {LOG}}}}}", "[{a: {set: {x: '${ .v }'}, output: {as: .x}}}]"
    )
    assert (await ending_of(MemoryRun(), program, {"v": 5})).output == 5
    assert logged == [("a", {"v": 5}, None), ("a", {"x": 5}, {"x": 5})]


async def test_extensions_are_around_each_other_and_survive_every_crash() -> None:
    one, two = (
        f"{{e{number}: {{extend: all, before: [{{b: {{call: log, with: {{task: b{number}}}}}}}], after: [{{a: {{call: log, with: {{task: a{number}}}}}}}]}}}}"
        for number in (1, 2)
    )
    program, logged = flow(f"{one}, {two}", "[{x: {set: {y: 1}}}, {l: {for: {in: .y}, do: [{x: {set: {y: 1}}}]}}]")
    assert (await ending_of(MemoryRun(), program, None)).failure is not None  # `in` is no list
    assert [name for name, _, _ in logged] == ["b1", "b2", "a2", "a1", "b1", "b2"]
    program, _ = flow(f"{one}, {two}", "[{x: {set: {y: [1, 2]}}}, {l: {for: {in: .y}, do: [{x: {set: {y: 1}}}]}}]")
    assert await run_through(program) == Ending(output={"y": 1})


@pytest.mark.parametrize(("leaving", "output"), [("exit", 7), ("continue", "logged"), ("end", {"x": 7})])
async def test_exit_takes_the_place_of_the_task_and_end_ends_the_run(leaving: str, output: Any) -> None:
    program, logged = flow(
        f"{{e: {{extend: call, before: [{{mock: {{set: {{x: 7}}, then: {leaving}}}}}], after: {LOG}}}}}",
        "[{c: {call: log, output: {as: '.'}}}, {s: {switch: [{mocked: {when: '. != \"logged\"', then: m}}, {else: {then: end}}]}}, {m: {set: '${ .x }'}}]",
    )
    assert (await ending_of(MemoryRun(), program, None)).output == output
    assert len(logged) == (2 if leaving == "continue" else 0)


async def test_when_decides_for_each_task() -> None:
    program, logged = flow(
        f'{{e: {{extend: set, when: $task.name == "b" and .go, before: {LOG}}}}}',
        "[{a: {set: {go: true}}}, {b: {set: {x: 1}}}]",
    )
    assert (await ending_of(MemoryRun(), program, {"go": True})).failure is None
    assert [name for name, _, _ in logged] == ["b"]


async def test_failing_extension_fails_its_task_at_its_own_place() -> None:
    program, _ = flow(
        "{e: {extend: set, before: [{r: {raise: {error: {type: 'http://x/odd', status: 418}}}}]}}",
        "[{t: {try: [{a: {set: {x: 1}}}], catch: {as: e, do: [{w: {wait: PT0S, output: {as: $e.instance}}}]}}}]",
    )
    assert (await ending_of(MemoryRun(), program, None)).output == "/use/extensions/0/e/before/0/r"


async def test_functions_of_the_definition_are_extended_too() -> None:
    functions_text = (
        f"use: {{functions: {{f: {{set: {{x: 1}}}}}}, extensions: [{{e: {{extend: set, before: {LOG}}}}}]}}"
    )
    functions, logged = Functions(), []

    @functions.function
    async def log(task: Any = None, seen: Any = None, output: Any = None) -> None:
        logged.append((task, seen, output))

    program = (
        FlowPrograms(functions=functions)
        .compile(f"{HEAD}{functions_text}\ndo: [{{a: {{call: f}}}}, {{b: {{call: f}}}}]")
        .program
    )
    assert await run_through(program) == Ending(output={"x": 1})
    assert logged[0][0] == "f"
