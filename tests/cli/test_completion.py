"""`stepwell completion`: the script, asked in a real shell."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .commands import Shell

ASK = """
source ./completion
complete -p stepwell
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); _stepwell
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [("stepwell ba", "backup"), ("stepwell runs app", "approve"), ("stepwell serve --po", "--port")],
)
def test_bash_completes_commands_and_options(inside: Shell, words: str, completed: str) -> None:
    ran = inside.run("completion", "bash")
    inside.write("completion", ran.out)
    asked = ASK.format(words=words, count=len(words.split()))
    told = subprocess.run(
        ["bash", "-c", asked], cwd=Path(inside.folder), capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.splitlines() == ["complete -F _stepwell stepwell", completed]
    assert (ran.code, told.stderr) == (0, "")


def test_another_shell_is_refused(inside: Shell) -> None:
    ran = inside.run("completion", "dos")
    assert ran.code == 2
    assert "bash" in ran.sentence
