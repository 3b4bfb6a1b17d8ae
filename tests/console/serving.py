"""`stepwell serve` as a process of its own, commands to it through its API, a browser that looks at its console."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import BrowserContext, Locator, Page

from stepwell.engine.ids import workflow_uuid

HERE = Path(__file__).parent
ARTEFACTS = HERE.parents[1] / ".artefacts" / "console"
"""Where screenshots go; not in the repository."""
WAIT_S = 20.0

Json = dict[str, Any]


def until(what: Callable[[], Any], *, because: str) -> Any:
    """What it gives, as soon as that is something."""
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {WAIT_S:.0f} s in vain: {because}")


class Served:
    """A server with the workflows of `hosted.py`, its database in `folder`; `settings` as STEPWELL_<NAME>."""

    def __init__(self, folder: Path, *options: str, key: str = "", **settings: str) -> None:
        self.folder = folder
        settings = {"shutdown_grace_s": "0.2", **settings}
        self._settings = {f"STEPWELL_{name.upper()}": text for name, text in settings.items()}
        self.db = f"sqlite:///{folder}/console.db"
        self._options = options
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()
        headers = {"X-API-Key": key} if key else {}
        idle = httpx.Limits(keepalive_expiry=2)  # less than the server keeps a silent connection
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=WAIT_S, limits=idle)
        self.client.get("/console/", timeout=6 * WAIT_S)  # a server loads the console's library with the first page

    def start(self) -> None:
        """The same server again: its port and its database."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "stepwell", "serve", "--app", "hosted:app", "--port", str(self._port)),
                *("--db", self.db, *self._options),
            ],
            cwd=HERE,
            env={
                **environ,
                **self._settings,
                "STEPWELL_TEST_FOLDER": str(self.folder),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("stepwell serves "), line
        self.url = line.split()[-1]
        self._port = int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a crash does it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """As a signal does it."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=WAIT_S)

    # --- commands and questions, through the API --------------------------------------------------------------------

    def run(self, workflow: str, input: Any = None) -> str:
        """The id of a run that began."""
        body = {"template_id": workflow_uuid(workflow), "input": {} if input is None else input}
        answer = self.client.post("/api/v1/workflows", json=body)
        assert answer.is_success, answer.text
        return str(_data(answer)["id"])

    def get(self, run_id: str) -> Json:
        """A run with its steps, approvals and events."""
        answer = self.client.get(f"/api/v1/workflows/{run_id}")
        assert answer.is_success, answer.text
        return _data(answer)

    def status(self, run_id: str) -> str:
        """In the words of the agents door."""
        return str(self.get(run_id)["status"])

    def wait_for(self, run_id: str, *statuses: str) -> None:
        """Until the run stands so."""
        until(lambda: self.status(run_id) in statuses, because=f"the run should be {statuses}")

    def newest(self) -> Json:
        """The run that was started last."""
        answer = self.client.get("/api/v1/workflows", params={"limit": 1})
        found: Json = answer.json()["data"][0]
        return found

    def template(self, name: str, *steps: Json) -> str:
        """The id of a template with these steps, published: anew if it is there."""
        listed = self.client.get("/api/v1/workflow-templates", params={"limit": 100}).json()["data"]
        known = next((one["id"] for one in listed if one["name"] == name), "")
        body = {"name": name, "steps": list(steps)}
        sent = ("PUT", f"/api/v1/workflow-templates/{known}") if known else ("POST", "/api/v1/workflow-templates")
        answer = self.client.request(*sent, json=body)
        assert answer.is_success, answer.text
        id = str(_data(answer)["id"])
        answer = self.client.post(f"/api/v1/workflow-templates/{id}/publish")
        assert answer.is_success, answer.text
        return id

    def actor(self, run_id: str, type: str) -> str:
        """Who caused the last event of this type, by the API."""
        events = [event for event in self.get(run_id)["events"] if event["type"] == type]
        assert events, f"no {type} in the history"
        actor = events[-1]["actor"]
        return f"{actor['type']} {actor['id']}"

    def let_go(self, name: str) -> None:
        """Let the steps end that are held under this name."""
        (self.folder / name).touch()


def _data(answer: httpx.Response) -> Json:
    body: Json = answer.json()
    found: Json = body.get("data", body)
    return found


class Visit:
    """A browser's window on a console. Every request it makes is noted: none may go anywhere else."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_S * 1000)
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("websocket", lambda socket: self._note(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, url: str) -> None:
        if not url.startswith((self.url, self.url.replace("http:", "ws:"), "data:", "blob:")):
            self.foreign.append(url)

    def open(self, path: str = "/console/") -> Page:
        """A page, once it is live: shown, and connected."""
        self.page.goto(self.url + path)
        self.page.wait_for_function("window.did_handshake")
        return self.page

    def run(self, run_id: str) -> Page:
        """The page of a run."""
        page = self.open(f"/console/runs/{run_id}")
        page.get_by_test_id("status").wait_for()
        return page

    def shot(self, name: str) -> None:
        """Keep what the page looks like."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=ARTEFACTS / f"{name}.png")


def button(at: Page | Locator, name: str) -> Locator:
    """A button by what stands on it."""
    return at.get_by_role("button", name=name, exact=True)
