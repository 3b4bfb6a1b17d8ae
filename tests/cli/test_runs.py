"""`stepwell runs`: reading, steering and deciding runs, with nobody or somebody else driving them."""

import json
from collections.abc import Iterator

import pytest

from . import documents
from .commands import Shell, read_until, until


@pytest.fixture
def waiting(shell: Shell) -> Iterator[str]:
    """The id of a run that waits for an approval and is driven by another process."""
    shell.write("ask.yaml", documents.ASK)
    with shell.background("run", "ask.yaml", "--input", '{"item": "boat"}') as process:
        run_id = read_until(process, "run ").removeprefix("run ")
        read_until(process, "waits for an approval (ship it?): stepwell runs approve")
        yield run_id


def parked(shell: Shell, document: str = documents.ASK) -> str:
    """The id of a run that waits, and that nobody drives."""
    shell.write("ask.yaml", document)
    with shell.background("run", "ask.yaml") as process:
        run_id = read_until(process, "run ").removeprefix("run ")
        until(lambda: shell.runs("show", run_id)["status"] == "waiting", what="the run to wait")
        process.kill()
        process.communicate()
    return run_id


def test_approval_reaches_a_run_that_another_process_drives(inside: Shell, waiting: str) -> None:
    decided = inside.runs("approve", waiting, "--comment", "go", "--data", '{"by": "boat"}', "--as", "ann")
    assert decided == {
        "id": waiting,
        "approval_id": decided["approval_id"],
        "step": "/do/0/ask",
        "decision": "approved",
    }

    until(lambda: inside.runs("show", waiting)["status"] == "completed", what="the end")

    [ask] = inside.runs("show", waiting)["steps"]
    assert ask["output"] | {"expired": False} == {
        "decision": "approved",
        "comment": "go",
        "data": {"by": "boat"},
        "actor": "ann",
        "expired": False,
    }


def test_rejection_fails_the_run(inside: Shell, waiting: str) -> None:
    inside.runs("reject", waiting, "--comment", "not today")

    failed = until(lambda: (shown := inside.runs("show", waiting))["status"] == "failed" and shown, what="the end")

    assert failed["error"]["detail"].endswith("not today")


def test_second_decision_is_refused(inside: Shell) -> None:
    run_id = parked(inside)
    inside.runs("approve", run_id)

    assert "waits for no approval" in inside.run("runs", "approve", run_id).sentence


def test_list_is_newest_first_and_filtered(inside: Shell) -> None:
    for name in ("one", "two", "two"):
        inside.write(f"{name}.yaml", documents.flow(name, "- a: {set: {x: 1}}\n"))
        assert inside.run("run", f"{name}.yaml").code == 0

    listed = inside.runs("list")
    assert [(run["workflow"], run["status"]) for run in listed] == [
        ("two", "completed"),
        ("two", "completed"),
        ("one", "completed"),
    ]
    assert inside.runs("list", "--limit", "1") == listed[:1]
    assert inside.runs("list", "--before", listed[0]["id"]) == listed[1:]
    assert inside.runs("list", "--workflow", "one") == listed[2:]
    assert inside.runs("list", "--status", "failed") == []
    assert inside.runs("list", "--search", listed[1]["id"]) == [listed[1]]
    assert "no runs" in inside.run("runs", "list", "--status", "failed").err


def test_tables_hold_whole_ids(inside: Shell) -> None:
    run_id = parked(inside)

    assert run_id in inside.run("runs", "list").out
    shown = inside.run("runs", "show", run_id)
    assert "waiting (approval)" in shown.out
    assert f"stepwell runs approve {run_id} --step /do/0/ask" in shown.err


def test_pause_resume_and_cancel(inside: Shell) -> None:
    run_id = parked(inside)

    assert inside.runs("pause", run_id) == {"id": run_id, "status": "paused", "changed": True}
    assert inside.runs("pause", run_id)["changed"] is False
    assert inside.runs("resume", run_id)["changed"] is True
    assert inside.runs("cancel", run_id, "--reason", "enough")["status"] == "cancelled"
    assert "a cancelled run cannot be paused" in inside.run("runs", "pause", run_id).sentence


def test_failed_run_is_tried_again(inside: Shell) -> None:
    inside.write("fail.yaml", documents.FAIL)
    run_id = inside.run("run", "fail.yaml").err.split()[1]

    assert inside.runs("retry", run_id)["status"] == "pending"

    assert inside.run("run", "--resume", run_id).code == 1
    assert inside.runs("show", run_id)["generation"] == 2


def test_signal_is_kept_for_a_run(inside: Shell) -> None:
    run_id = parked(inside)

    inside.runs("signal", run_id, "news", "--data", "[1, 2]", "--id", "n1")

    inside.runs("cancel", run_id)
    lines = inside.run("runs", "watch", run_id, "--json").out.splitlines()
    [event] = [found for line in lines if (found := json.loads(line))["type"] == "SignalReceived"]
    assert (event["signal"], event["data"], event["actor"]["type"]) == ("news", [1, 2], "local")


def test_watch_prints_everything_until_the_end(inside: Shell) -> None:
    inside.write("greet.yaml", documents.GREET)
    run_id = inside.run("run", "greet.yaml").err.split()[1]

    lines = inside.run("runs", "watch", run_id).out.splitlines()

    assert lines[0].split()[0] == "1"
    assert lines[0].endswith("RunCreated")
    assert lines[-1].endswith("RunCompleted")
