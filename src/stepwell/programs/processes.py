"""Local processes as flows see them, behind one method, and the processes of this machine as that.

Only used where it is handed in: a definition that runs commands can do all that the server's user may do. What is
limited here (time, output, number) guards against mistakes, not against malice. A process gets a folder of its own
that is gone afterwards, and no variable of the server's environment but `PATH`.
"""

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Protocol, assert_never

import msgspec

from stepwell.core.errors import StepwellError

Language = Literal["shell", "javascript", "python"]

_MODULE: Final = re.compile(r"^\s*(import|export)\b", re.MULTILINE)
_CHUNK: Final = 65_536


class ProcessRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Code to run, with its arguments, environment variables and standard input."""

    language: Language
    code: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    stdin: bytes = b""


class ProcessResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended. `code` is negative for the signal that ended it."""

    code: int
    stdout: str
    stderr: str


class ProcessError(StepwellError):
    """A process that could not be started, or had to be stopped."""

    def __init__(self, detail: str, *, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.timed_out = timed_out


class Processes(Protocol):
    """Runs local processes."""

    async def run(self, request: ProcessRequest) -> ProcessResult:
        """Run to the end; cancelled, the process is killed. Raises `ProcessError`."""

    async def launch(self, request: ProcessRequest) -> None:
        """Start and let go: nobody learns how it ends. Raises `ProcessError`."""


class ProcessLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`output_bytes` is for each of stdout and stderr; more runs than `at_once` wait for their turn."""

    timeout_s: float = 300.0
    output_bytes: int = 4 * 1024 * 1024
    at_once: int = 8


_DEFAULT_LIMITS: Final = ProcessLimits()


class LocalProcesses:
    """`Processes` of this machine: `/bin/sh`, this Python, and Node.js where it is installed.

    Belongs to one event loop. Each process leads a session of its own, and all of that is killed with it.
    """

    def __init__(self, limits: ProcessLimits = _DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._room = asyncio.Semaphore(limits.at_once)
        self._launched: set[asyncio.Task[Any]] = set()

    async def run(self, request: ProcessRequest) -> ProcessResult:
        async with self._room:
            return await self._run(request, asyncio.get_running_loop().create_future())

    async def launch(self, request: ProcessRequest) -> None:
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keep(self._run(request, started))
        await started

    async def aclose(self) -> None:
        """Kill what was launched and still runs."""
        for task in self._launched:
            task.cancel()
        await asyncio.gather(*self._launched, return_exceptions=True)

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._launched.add(task)
        task.add_done_callback(self._launched.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen: nobody waits for it

    async def _run(self, request: ProcessRequest, started: asyncio.Future[None]) -> ProcessResult:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="stepwell-")
        try:
            process = await self._start(request, folder)
            if not started.done():
                started.set_result(None)
            try:
                return await self._ended(process, request.stdin)
            finally:
                await asyncio.shield(_end(process))
        except ProcessError as error:
            if started.done():
                raise
            started.set_exception(error)
            raise
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _start(self, request: ProcessRequest, folder: str) -> asyncio.subprocess.Process:
        command = _command(request, Path(folder))
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": folder,
            **request.environment,
        }
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=environment,
                start_new_session=True,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except (OSError, ValueError) as error:  # not there, arguments too long, a zero byte in one of them
            raise ProcessError(f"{command[0]} cannot be started: {error}") from None

    async def _ended(self, process: asyncio.subprocess.Process, stdin: bytes) -> ProcessResult:
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                _, stdout, stderr = await asyncio.gather(
                    _feed(process.stdin, stdin),
                    self._read(process.stdout, "stdout"),
                    self._read(process.stderr, "stderr"),
                )
                return ProcessResult(code=await process.wait(), stdout=stdout, stderr=stderr)
        except TimeoutError:
            raise ProcessError(
                f"expected an end within {self._limits.timeout_s:g} s, found none", timed_out=True
            ) from None

    async def _read(self, stream: asyncio.StreamReader | None, name: str) -> str:
        assert stream is not None
        chunks: list[bytes] = []
        size = 0
        while chunk := await stream.read(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._limits.output_bytes:
                raise ProcessError(f"expected at most {self._limits.output_bytes} bytes on {name}, found more")
        return b"".join(chunks).decode(errors="replace")


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    assert stream is not None
    try:
        stream.write(data)
        await stream.drain()
    except ConnectionError:
        pass  # it does not read its input
    finally:
        stream.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the process and all in its session, also those that outlive it; let go of its pipes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # There is no public way: who has left the session, or wrote more than we read, would keep the pipes open.
    process._transport.close()  # type: ignore[attr-defined]  # private, see above
    await process.wait()


def _command(request: ProcessRequest, folder: Path) -> list[str]:
    """What to start. A script stands in a file, since its standard input is its own."""
    match request.language:
        case "shell":
            return ["/bin/sh", "-c", request.code, "sh", *request.arguments]
        case "python":
            return [sys.executable, "-I", _written(folder / "script.py", request.code), *request.arguments]
        case "javascript":
            # Modules and scripts differ; a script of old has `require`, a module has `import`.
            name = "script.mjs" if _MODULE.search(request.code) else "script.cjs"
            return ["node", _written(folder / name, request.code), *request.arguments]
    assert_never(request.language)


def _written(path: Path, code: str) -> str:
    path.write_text(code, encoding="utf-8")
    return str(path)
