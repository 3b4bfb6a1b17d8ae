"""A full and a read-only disk, made with a small file system of the test's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from . import documents
from .commands import Shell, read_until, until

BIG = documents.flow(
    "big", "- many:\n    for: {each: n, in: '${ .items }'}\n    do: [{big: {call: big}}]\n- last: {set: {ok: true}}\n"
)
SHOP = """
import stepwell

app = stepwell.App()


@app.function
def big() -> str:
    return "x" * 150_000
"""


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return tried.returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_mount(), reason="needs the right to mount a file system (root)"),
]


def inside_disk(folder: Path, *, size: str, then: str = "") -> tuple[str, ...]:
    """A prefix for a command that sees a file system of this size at `disk/`, after `then` was done there."""
    (folder / "disk").mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o size={size} tmpfs {folder}/disk && cd {folder} && {then or "true"}; exec "$@"'
    return ("unshare", "-m", "sh", "-c", script, "sh")


def test_database_on_a_read_only_disk(shell: Shell) -> None:
    shell.write("greet.yaml", documents.GREET)
    assert shell.run("run", "greet.yaml").code == 0
    prefix = inside_disk(shell.folder, size="1m", then="cp stepwell.db disk/ && mount -o remount,ro disk")

    for command in (("run", "greet.yaml"), ("serve", "--port", "0"), ("runs", "list")):
        ran = shell.run(*command, "--db", "sqlite:///disk/stepwell.db", prefix=prefix)
        assert "disk/stepwell.db" in ran.sentence


def test_new_database_on_a_full_disk(shell: Shell) -> None:
    shell.write("greet.yaml", documents.GREET)
    prefix = inside_disk(shell.folder, size="100k")

    ran = shell.run("run", "greet.yaml", "--db", "sqlite:///disk/x.db", prefix=prefix)

    assert "the disk that holds disk/x.db is full" in ran.sentence


def test_lock_on_a_full_disk(shell: Shell) -> None:
    shell.write("greet.yaml", documents.GREET)
    prefix = inside_disk(shell.folder, size="100k", then="dd if=/dev/zero of=disk/fill bs=1k 2> /dev/null")

    ran = shell.run("run", "greet.yaml", "--db", "sqlite:///disk/x.db", prefix=prefix)

    assert "full" in ran.sentence or "No space left on device" in ran.sentence


def test_a_run_goes_on_when_space_returns(shell: Shell) -> None:
    shell.write("shop.py", SHOP)
    shell.write("big.yaml", BIG)
    shell.write("input.json", '{"items": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}')
    fill = "dd if=/dev/zero of=disk/fill bs=1k count=1000 2> /dev/null"
    arguments = ("run", "big.yaml", "--app", "shop:app", "--input", "@input.json", "--db", "sqlite:///disk/x.db")
    with shell.start(*arguments, prefix=inside_disk(shell.folder, size="2m", then=fill)) as process:
        try:
            read_until(process, "run ")
            assert "is full: free some space" in read_until(process, "")
            (Path(f"/proc/{process.pid}/root") / shell.folder.relative_to("/") / "disk/fill").unlink()
            out, _ = process.communicate(timeout=10)
        finally:
            process.kill()

    assert out == '{"ok":true}\n'
    until(lambda: process.returncode == 0, what="the end")
