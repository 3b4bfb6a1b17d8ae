"""The core is pure, so that its own tests can reach every branch of it: measured here, and printed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def coverage(*arguments: str) -> str:
    command = [sys.executable, "-m", "coverage", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout


@pytest.mark.slow
def test_tests_of_the_core_reach_every_branch_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"--data-file={tmp_path}/core"
    coverage("run", data, "--branch", "--source=src/stepwell/core", "-m", "pytest", "-q", "tests/core")
    total = coverage("report", data, "--format=total").strip()
    with capsys.disabled():
        print(f"\nbranch coverage of core/ by tests/core: {total} %")
    assert total == "100", coverage("report", data, "--show-missing", "--skip-covered")
