"""A disk without space, for real: writes fail within a second, reads go on, work resumes by itself."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.core.errors import StorageUnavailableError
from stepwell.core.program import Program, RunContext
from stepwell.core.status import Status
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine
from stepwell.programs.native import NativePrograms
from stepwell.store.sqlite import SqliteStore
from stepwell.store.sqlite.connection import connect

from .harness import Lab
from .invariants import check_invariants
from .scenes import waiting

SIZE = "4m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small enough to be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use all the space that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def writer(lab: Lab, release: asyncio.Event) -> Program:
    """Two steps that give back a lot, once they are let."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        await release.wait()
        return [await ctx.step(f"/{n}", lab.does(str(n) * 300_000)) for n in range(2)]

    return program


async def test_full_disk_fails_writes_with_a_sentence_and_work_resumes_by_itself(small_disk: Path) -> None:
    path = str(small_disk / "runs.db")
    store = SqliteStore(path)
    await store.open()
    await store.close()
    lab = Lab(connect(path))
    native = NativePrograms()
    native.add("waiting", waiting(lab))
    engine = Engine(store=SqliteStore(path), dispatch=LocalDispatch(), programs=[native])
    await engine.open()
    await engine.save(kind="python", name="waiting", version="1", text="waiting")
    run_id = (await engine.start("waiting")).run_id
    async with asyncio.timeout(5):
        while not (await engine.state(run_id)).waits:  # noqa: ASYNC110  # another process would poll too
            await asyncio.sleep(0.01)

    ballast = fill(small_disk)
    big = "x" * 200_000  # more than the log has left in its last pages
    for writing in (engine.start("waiting", big), engine.signal(run_id, "go", big)):
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match=r"the disk that holds .* is full: free some space"):
            await writing
        assert time.monotonic() - began < 1.0
    assert len(await engine.list_runs()) == 1
    assert (await engine.get(run_id)).status in (Status.RUNNING, Status.WAITING)

    ballast.unlink()
    began = time.monotonic()
    await engine.signal(run_id, "go", "at last")
    assert (await engine.result(run_id, timeout_s=5)).output == "at last"
    assert time.monotonic() - began < 5.0
    await engine.close()
    lab.close()
    disk = connect(path)
    check_invariants(disk, lab.ran, crashes=2, quiet=True)
    disk.close()


async def test_run_that_meets_a_full_disk_goes_on_when_there_is_space(small_disk: Path) -> None:
    """The driver drops what it holds, takes the run up again, and repeats at most the step in flight."""
    path = str(small_disk / "runs.db")
    store = SqliteStore(path)
    await store.open()
    await store.close()
    lab = Lab(connect(path))
    native = NativePrograms()
    release = asyncio.Event()
    native.add("writer", writer(lab, release))
    engine = Engine(store=SqliteStore(path), dispatch=LocalDispatch(), programs=[native])
    await engine.open()
    await engine.save(kind="python", name="writer", version="1", text="writer")
    run_id = (await engine.start("writer")).run_id
    ballast = fill(small_disk)
    release.set()
    waiting = asyncio.ensure_future(engine.result(run_id, timeout_s=20))
    await asyncio.wait((waiting,), timeout=1.0)
    ballast.unlink()
    result = await asyncio.wait_for(waiting, 5.0)
    assert [len(part) for part in result.output] == [300_000, 300_000]
    await engine.close()
    lab.close()
    disk = connect(path)
    check_invariants(disk, lab.ran, crashes=20, quiet=True)
    disk.close()
