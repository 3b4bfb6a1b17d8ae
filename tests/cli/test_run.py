"""`stepwell run`: outputs, exit codes, and going on after it was stopped."""

import os
import pty
import shlex
import signal
import subprocess
import sys

import pytest

from . import documents
from .commands import Shell, read_until, until


def test_output_is_json_on_stdout_and_the_code_is_0(shell: Shell) -> None:
    shell.write("greet.yaml", documents.GREET)

    ran = shell.run("run", "greet.yaml", "--json")

    assert (ran.code, ran.out) == (0, '{"text":"hello"}\n')


def test_an_empty_output_is_null(inside: Shell) -> None:
    inside.write("empty.yaml", documents.EMPTY)

    assert inside.run("run", "empty.yaml").out == "null\n"


@pytest.mark.parametrize("how", ["text", "file", "stdin"])
def test_input_comes_as_text_from_a_file_or_from_stdin(inside: Shell, how: str) -> None:
    inside.write("echo.yaml", documents.flow("echo", "- echo: {set: {got: '${ .n }'}}\n"))
    inside.write("input.json", '{"n": -5}')
    option = {"text": '{"n": -5}', "file": "@input.json", "stdin": "-"}[how]

    ran = inside.run("run", "echo.yaml", "--input", option, input='{"n": -5}')

    assert ran.json == {"got": -5}


def test_a_failed_run_ends_stderr_with_its_problem_and_the_code_is_1(shell: Shell) -> None:
    shell.write("fail.yaml", documents.FAIL)

    ran = shell.run("run", "fail.yaml")

    assert (ran.code, ran.out) == (1, "")
    assert ran.problem == {
        "type": "https://example.com/boom",
        "title": "Boom",
        "status": 418,
        "detail": "it broke",
        "instance": "/do/0/boom",
    }


def test_a_cancelled_run_has_code_3(shell: Shell) -> None:
    shell.write("long.yaml", documents.LONG)
    with shell.background("run", "long.yaml") as process:
        run_id = read_until(process, "run ").removeprefix("run ")
        shell.run("runs", "cancel", run_id, "--reason", "enough")
        out, err = process.communicate(timeout=10)

    assert (process.returncode, out) == (3, "")
    assert '"detail":"enough"' in err


def test_a_run_that_listens_says_which_event_it_waits_for(shell: Shell) -> None:
    hear = "- hear: {listen: {to: {any: [{with: {type: order.paid}}, {with: {type: order.lost}}]}}}\n"
    shell.write("hear.yaml", documents.flow("hear", hear))
    with shell.background("run", "hear.yaml") as process:
        hint = read_until(process, "waits for")
        what, _, command = hint.partition(": stepwell ")
        assert what == "waits for an event of type order.paid or order.lost"
        shell.run(*shlex.split(command.replace("JSON", "7").replace("SOURCE", "/shop")))
        out, _ = process.communicate(timeout=10)

    assert out == "[7]\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_kept_and_says_how_to_go_on(shell: Shell, number: signal.Signals) -> None:
    shell.write("short.yaml", documents.SHORT_WAIT)
    with shell.background("run", "short.yaml") as process:
        run_id = read_until(process, "run ").removeprefix("run ")
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert err == f"stopped; the run is kept, go on with: stepwell run short.yaml --resume {run_id}\n"

    ran = shell.run("run", "short.yaml", "--resume", run_id)

    assert (ran.code, ran.json) == (0, {"done": True})


@pytest.mark.slow
def test_a_killed_run_goes_on_in_another_process(shell: Shell) -> None:
    shell.write("shop.py", documents.FUNCTIONS)
    shell.write("slow.yaml", documents.SLOW)
    with shell.background("run", "slow.yaml", "--app", "shop:app") as process:
        run_id = read_until(process, "run ").removeprefix("run ")
        until(lambda: shell.runs("show", run_id)["steps"], what="the step")
        process.kill()
        process.communicate()
    shell.write("go", "")

    ran = shell.run("run", "--app", "shop:app", "--resume", run_id, "--json")

    assert (ran.code, ran.json) == (0, "done")
    [step] = shell.runs("show", run_id)["steps"]
    assert [attempt["number"] for attempt in step["attempts"]] == [1, 2]


def test_resuming_an_ended_run_says_how_it_ended(inside: Shell) -> None:
    inside.write("fail.yaml", documents.FAIL)
    failed = inside.run("run", "fail.yaml")
    run_id = failed.err.split()[1]

    again = inside.run("run", "--resume", run_id)

    assert (again.code, again.problem) == (1, failed.problem)


@pytest.mark.slow
def test_other_runs_of_the_file_are_left_alone(shell: Shell) -> None:
    shell.write("short.yaml", documents.SHORT_WAIT)
    shell.write("greet.yaml", documents.GREET)
    shell.write("long.yaml", documents.flow("long", "- pause: {wait: PT1.5S}\n"))
    with shell.background("run", "short.yaml") as process:
        run_id = read_until(process, "run ").removeprefix("run ")
        process.kill()
        process.communicate()

    assert shell.run("run", "long.yaml").code == 0

    assert shell.runs("show", run_id)["status"] == "waiting"


def test_a_terminal_shows_the_steps_live(shell: Shell) -> None:
    shell.write("short.yaml", documents.SHORT_WAIT)
    mine, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "stepwell", "run", "short.yaml"],
        cwd=shell.folder,
        env={**shell.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
        stdout=subprocess.PIPE,
        stderr=its,
    ) as process:
        os.close(its)
        shown = "".join(iter(lambda: read_terminal(mine), ""))
        assert process.stdout is not None
        assert process.stdout.read() == b'{"done":true}\n'
    os.close(mine)

    assert "short" in shown
    assert "pause" in shown
    assert "completed" in shown


def read_terminal(terminal: int) -> str:
    """What a terminal got since; empty when its last writer has gone."""
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # Linux says EIO then
        return ""
