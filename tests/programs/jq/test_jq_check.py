"""What is said about an expression when a definition is saved, before it ever runs."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from stepwell.programs.jq import JqWorkers, Limits
from stepwell.programs.jq.checker import Checker


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    checker = Checker(Limits(time_s=0.5))
    yield checker
    checker.close()


@pytest.mark.parametrize(
    "text",
    [
        ".a + $context.b",
        "[.[] | select(. > 1)]",
        "def f(x): x; f(1)",
        ". as [$a, {b: $c}] | $a + $c",
        "1 # \\",
        '"$ENV is a word here"',
        ". # $ENV",
        "$__loc__",
        "reduce .[] as $x (0; . + $x)",
        "@sh",
    ],
)
def test_a_sound_expression_has_no_fault(checker: Checker, text: str) -> None:
    assert checker.check(text, ["context"]) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (".a +", "syntax error, the expression ends too early"),
        (".a )", "closes too much"),
        ("1) | (2", "syntax error, unexpected"),
        ("\n\n  %", "at line 3, column 3"),
        ("$contxt.a", "expected a variable that is known here ($context, $input), found $contxt"),
        ("nosuch", "expected a function that jq knows, found nosuch/0"),
        ("map()", "syntax error, unexpected ')', at line 1, column 5"),
        ("map(.;.)", "expected a function that jq knows, found map/2"),
        ("env.HOME", "env is not available: it would give access to the server's environment"),
        ("$ENV.HOME", "$ENV is not available: it would give access to the server's environment"),
        ("$__prog_args", "found $__prog_args"),
        ("halt", "halt is not available"),
        ("halt_error", "halt_error is not available"),
        ("[inputs]", "inputs is not available"),
        ('debug("x")', "debug is not available"),
        ("input_filename", "input_filename is not available: it would give access to files"),
        ('import "a" as a; 1', "syntax error, unexpected import"),
        ('include "a"; 1', "syntax error, unexpected include"),
        ("  ", "expected an expression, found nothing"),
        ("x\0y", "expected text without NUL characters, found one"),
        ("1" * 20_001, "expected at most 20000 characters, found 20001"),
    ],
)
def test_a_fault_is_named(checker: Checker, text: str, problem: str) -> None:
    assert problem in (checker.check(text, ["input", "context"]) or "")


BOMBS = [
    "(" * 9_990 + "1" + ")" * 9_990,
    "[" * 9_990,
    "-" * 19_000 + "1",
    "1" + "+1" * 9_990,
    "def f:" * 3_000 + "1",
    "try " * 4_900 + "1",
    ". as [$a] ?// " * 1_400 + "$a | 1",
    '"' + "\\(1" * 5_000,
    "".join(f"def f{n}: {f'f{n - 1}, f{n - 1}' if n else '1'};" for n in range(600)) + "f599",
    "{" + ",".join(f"a{n}:1" for n in range(2_000)) + "}",
    "if 1 then " * 1_900 + "1",
    "1e" + "9" * 19_000,
    "9" * 20_000,
    "." + "[0]" * 6_600,
    ". " + "| map(.)" * 2_400,
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_no_text_takes_the_server_down(checker: Checker, text: str) -> None:
    started = time.monotonic()
    found = checker.check(text, [])
    assert found is None or isinstance(found, str)
    assert time.monotonic() - started < 5
    assert checker.check(".a", []) is None


def test_threads_take_turns(checker: Checker) -> None:
    found: dict[int, str | None] = {}

    def check(number: int) -> None:
        found[number] = checker.check(f"$x{number} | nosuch{number}", [f"x{number}"])

    threads = [threading.Thread(target=check, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"nosuch{number}/0" in (found[number] or "") for number in range(20))


def test_a_killed_checker_is_replaced(checker: Checker) -> None:
    assert checker.check(".", []) is None
    process = checker.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    assert checker.check(".a | .killed", []) is None
    assert checker.process is not None
    assert checker.process.pid != process.pid


def test_a_checker_that_hangs_is_cut(checker: Checker) -> None:
    assert checker.check(".", []) is None
    assert checker.process is not None
    os.kill(checker.process.pid, signal.SIGSTOP)
    assert "takes longer than 0.5 s" in (checker.check(".a | .stopped", []) or "")
    assert checker.check(".a | .stopped", []) is None  # not remembered


async def test_the_workers_check_also_while_the_loop_runs() -> None:
    jq = JqWorkers()
    assert jq.check("now | $a", ["a"]) is None
    assert jq.pids() == []  # evaluating workers start with the first evaluation
    await jq.close()
