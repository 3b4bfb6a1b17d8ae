"""`stepwell worker`, `stepwell migrate`, and the watchdog of a node, as processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from stepwell.cli.watchdog import EXIT_CODE

from .nodes import PATIENCE_S, node, nodes
from .server import new_database

HANGS = """
import asyncio, time
from stepwell.cli.watchdog import Watchdog

async def main():
    with Watchdog(1.0):
        await asyncio.sleep(0.2)
        time.sleep({seconds})
    print("went on")

asyncio.run(main())
"""
FLOW = """
document: {dsl: '1.0.3', namespace: test, name: greet, version: '1.0.0'}
do:
  - hello: {set: {text: hello}}
"""


def _stepwell(*arguments: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "stepwell", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
async def test_worker_drives_runs_that_others_start_until_it_is_stopped(tmp_path: Path) -> None:
    url = new_database()
    (tmp_path / "greet.yaml").write_text(FLOW)
    worker = _stepwell("worker", "--db", url, "--flows", "greet.yaml", folder=tmp_path)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "stepwell drives runs\n"
        async with nodes(node(url, drive=False)) as (engine,):
            result = await engine.run("greet", timeout_s=PATIENCE_S)
            assert result.output == {"text": "hello"}
        worker.terminate()
        _, errors = worker.communicate(timeout=PATIENCE_S)
        assert (worker.returncode, errors) == (0, "")
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.slow
def test_worker_of_a_file_is_refused(tmp_path: Path) -> None:
    worker = _stepwell("worker", "--db", "sqlite:///runs.db", folder=tmp_path)
    _, errors = worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 2
    assert errors.startswith("stepwell: a worker needs a database for many nodes")


@pytest.mark.slow
def test_migrate_says_what_it_copied(tmp_path: Path) -> None:
    (tmp_path / "greet.yaml").write_text(FLOW)
    ran = _stepwell("run", "greet.yaml", "--db", "sqlite:///old.db", folder=tmp_path)
    ran.communicate(timeout=PATIENCE_S)
    moved = _stepwell("migrate", "--from", "sqlite:///old.db", "--to", new_database(), folder=tmp_path)
    out, errors = moved.communicate(timeout=PATIENCE_S)
    assert moved.returncode == 0, errors
    assert "history" in out
    assert errors.strip().endswith("every table has the same rows and the same hash in both databases")


@pytest.mark.parametrize(("seconds", "code"), [(60, EXIT_CODE), (0.1, 0)])
def test_process_whose_event_loop_hangs_ends(seconds: float, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS.format(seconds=seconds)], timeout=PATIENCE_S, capture_output=True, check=False
    )
    assert ended.returncode == code
