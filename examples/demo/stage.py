"""What every part of the demo plays on: one database, the `stepwell` command, one server on it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import httpx

HERE = Path(__file__).parent
WAIT_S = 20.0
SERVER_ENV = {"STEPWELL_EGRESS_ALLOW": "127.0.0.0/8"}
"""Documents that come over HTTP may call this machine: the services of the demo are here."""

T = TypeVar("T")


class DemoError(Exception):
    """Something did not come out as it should."""


class Stage:
    """One database in `folder`. `at_end` closes and ends what the parts of the demo have begun."""

    def __init__(self, folder: Path, at_end: ExitStack, environ: dict[str, str]) -> None:
        self.at_end = at_end
        self._options = ["--db", f"sqlite:///{folder}/demo.db"]
        self._environ = environ
        self._server: subprocess.Popen[str] | None = None
        self._client = at_end.enter_context(httpx.Client(timeout=WAIT_S))
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)

    def until(self, ask: Callable[[], T], condition: Callable[[T], Any], *, what: str) -> T:
        """What `ask` gives, once it is as it should be."""
        deadline = time.monotonic() + WAIT_S
        while not condition(found := ask()):
            if time.monotonic() > deadline:
                raise DemoError(f"waited {WAIT_S:g} s for {what}; found {found}")
            time.sleep(0.01)
        return found

    # --- commands ---------------------------------------------------------------------------------------------------

    def begin(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """`stepwell` with these arguments, at work."""
        process = subprocess.Popen(
            [sys.executable, "-m", "stepwell", *arguments, *self._options],
            cwd=HERE,
            env={**self._environ, **environ},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.at_end.callback(process.kill)
        return process

    def stepwell(self, *arguments: str) -> Any:
        """What a command gives as JSON."""
        process = self.begin(*arguments, "--json")
        out, errors = process.communicate(timeout=WAIT_S)
        if process.returncode != 0:
            raise DemoError(f"stepwell {' '.join(arguments)} ended with {process.returncode}: {errors}")
        return json.loads(out)

    # --- the server -------------------------------------------------------------------------------------------------

    def serve(self) -> str:
        """Start the server; the line that it says where it listens with."""
        self._server = self.begin("serve", "--port", "0", "--app", "shop:app", **SERVER_ENV)
        assert self._server.stdout is not None
        line = self._server.stdout.readline().strip()
        self._client.base_url = httpx.URL(line.rpartition(" ")[2])
        return line

    def stop(self) -> None:
        """Stop it as a service manager does. It must end with 0 and nothing to complain of."""
        assert self._server is not None
        self._server.terminate()
        _, errors = self._server.communicate(timeout=WAIT_S)
        if self._server.returncode != 0 or errors:
            raise DemoError(
                f"expected the server to end with 0 and no message, found {self._server.returncode}: {errors}"
            )

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str) -> Any:
        """The JSON of an answer of the server."""
        return self.send(method, path, status=status, json=body, headers=headers).json()

    def send(self, method: str, path: str, *, status: int = 200, **request: Any) -> httpx.Response:
        """An answer of the server; `request` as httpx has it (json, data, files, headers)."""
        answer = self._client.request(method, path, **request)
        if answer.status_code != status:
            raise DemoError(f"{method} {path}: expected {status}, found {answer.status_code}: {answer.text}")
        return answer

    def streaming(self, method: str, path: str, **request: Any) -> AbstractContextManager[httpx.Response]:
        """An answer that is read as it comes, and can be broken off."""
        return self._client.stream(method, path, **request)

    def read(self, path: str) -> str:
        """A stream of the server, up to its end."""
        return self._client.get(path, headers={"accept": "text/event-stream"}).raise_for_status().text


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise DemoError(f"{what}: expected {expected}\n{' ' * len(what)}  found    {found}")
