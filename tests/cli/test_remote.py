"""Commands with `--url`: against a server, with the key of one of its people."""

import json
import re
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from .commands import Ran, Shell, until
from .conftest import Inside

ASK = {"type": "approval", "key": "ask", "config": {"prompt": "ship it?"}}


class Server:
    """A server with keys of three people, and commands that speak to it."""

    def __init__(self, shell: Shell, url: str, keys: dict[str, str]) -> None:
        self.shell = shell
        self.url = url
        self.keys = keys

    def start(self, *, who: str = "ann", steps: Any = (ASK,)) -> str:
        """The id of a new run."""
        headers = {"Content-Type": "application/json", "X-API-Key": self.keys[who]}
        body = json.dumps({"name": "Ship", "steps": list(steps)}).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/workflows", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.loads(answer.read())["id"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    shell = Shell(tmp_path_factory.mktemp("served"))
    shell.environ["STEPWELL_AUDIT_CHAIN"] = "true"
    people = {"ann": (), "eve": (), "boss": ("--scope", "admin", "--scope", "write", "--scope", "read")}
    keys = {name: shell.run("keys", "create", name, *scopes).out.strip() for name, scopes in people.items()}
    with shell.background("serve", "--port", "0") as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        yield Server(shell, found[0], keys)


class Far:
    """Commands in an empty folder, with `--url`."""

    def __init__(self, inside: Inside, server: Server, patch: pytest.MonkeyPatch) -> None:
        self._inside = inside
        self._patch = patch
        self.server = server

    def run(self, *arguments: str, who: str = "ann") -> Ran:
        self._patch.setenv("STEPWELL_KEY", self.server.keys[who])
        return self._inside.run(*arguments, "--url", self.server.url)

    def json(self, *arguments: str, who: str = "ann") -> Any:
        ran = self.run(*arguments, "--json", who=who)
        assert ran.code == 0, ran.err
        return ran.json

    def shown(self, run_id: str, status: str) -> Any:
        """The run, once it has this status."""

        def look() -> Any:
            found = self.json("runs", "show", run_id)
            return found if found["status"] == status else None

        return until(look, what=status)


@pytest.fixture
def far(inside: Inside, server: Server, monkeypatch: pytest.MonkeyPatch) -> Far:
    return Far(inside, server, monkeypatch)


def test_run_is_listed_shown_and_verified(far: Far) -> None:
    run_id = far.server.start()
    far.shown(run_id, "waiting")

    [listed] = far.json("runs", "list", "--search", run_id)
    assert (listed["id"], listed["status"], listed["owner"]) == (run_id, "waiting", "ann")
    assert far.json("runs", "list", "--status", "failed") == []
    table = far.run("runs", "show", run_id)
    assert f"stepwell runs approve {run_id} --step ask --url {far.server.url}" in table.err
    assert far.json("runs", "verify", run_id)["ok"] is True


def test_what_is_shown_is_what_the_database_says(far: Far) -> None:
    run_id = far.server.start()
    far.shown(run_id, "waiting")

    assert far.json("runs", "show", run_id) == far.server.shell.runs("show", run_id)
    assert far.json("runs", "list", "--search", run_id) == far.server.shell.runs("list", "--search", run_id)


def test_approval_is_decided_by_whose_key_it_is(far: Far) -> None:
    run_id = far.server.start()
    far.shown(run_id, "waiting")

    decided = far.json("runs", "approve", run_id, "--comment", "go")

    assert (decided["id"], decided["decision"]) == (run_id, "approved")
    [ask] = far.shown(run_id, "completed")["steps"]
    assert (ask["output"]["comment"], ask["output"]["actor"]) == ("go", "ann")
    assert "waits for no approval" in far.run("runs", "approve", run_id).sentence


def test_rejection_fails_the_run_which_is_tried_again(far: Far) -> None:
    run_id = far.server.start()
    far.shown(run_id, "waiting")
    far.json("runs", "reject", run_id)
    far.shown(run_id, "failed")

    assert far.json("runs", "retry", run_id)["changed"] is True
    assert far.shown(run_id, "waiting")["generation"] == 2


def test_run_is_paused_resumed_stopped_and_cancelled(far: Far) -> None:
    run_id = far.server.start()
    far.shown(run_id, "waiting")

    assert far.json("runs", "pause", run_id) == {"id": run_id, "status": "paused", "changed": True}
    assert far.json("runs", "pause", run_id)["changed"] is False
    assert far.json("runs", "resume", run_id)["changed"] is True
    assert far.json("runs", "cancel", run_id, "--reason", "enough")["status"] == "cancelled"
    assert "a cancelled run cannot be paused" in far.run("runs", "pause", run_id).sentence
    other = far.server.start()
    far.shown(other, "waiting")
    assert far.json("runs", "stop", other)["changed"] is True


def test_a_command_asks_the_server_once(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = far.server.start()
    far.shown(run_id, "waiting")
    asked: list[str] = []
    send = httpx.AsyncClient.request

    async def noted(client: httpx.AsyncClient, method: str, url: Any, **rest: Any) -> httpx.Response:
        asked.append(f"{method} {str(url).rpartition('/')[2]}")
        return await send(client, method, url, **rest)

    monkeypatch.setattr(httpx.AsyncClient, "request", noted)
    assert far.json("runs", "pause", run_id)["status"] == "paused"
    assert asked == ["POST commands"]


def test_watch_sees_a_run_to_its_end(far: Far) -> None:
    run_id = far.server.start(steps=[{"type": "wait", "key": "now", "config": {"seconds": 0.2}}])

    watched = far.run("runs", "watch", run_id, "--json")
    lines = watched.out.splitlines()

    assert watched.code == 0, watched.err
    assert lines == far.server.shell.run("runs", "watch", run_id, "--json").out.splitlines()
    assert json.loads(lines[-1])["type"] == "RunCompleted"


def test_signal_and_event_are_sent(far: Far) -> None:
    run_id = far.server.start()
    far.json("runs", "signal", run_id, "news", "--data", "[1, 2]", "--id", "n1")
    far.json("runs", "cancel", run_id)

    lines = far.run("runs", "watch", run_id, "--json").out.splitlines()

    [event] = [found for line in lines if (found := json.loads(line))["type"] == "SignalReceived"]
    assert (event["signal"], event["data"], event["actor"]["id"]) == ("news", [1, 2], "ann")
    assert far.json("events", "send", "--type", "t", "--source", "/s", "--id", "7")["id"] == "7"


def test_schedules_are_the_operators(far: Far) -> None:
    assert "lacks the scope admin" in far.run("schedules", "list").sentence
    far.json("runs", "list", who="boss")
    run_id = far.server.start(who="boss")
    workflow = far.json("runs", "show", run_id, who="boss")["workflow"]

    added = far.json("schedules", "add", workflow, "--every", "3600", "--id", "hourly", who="boss")

    assert (added["id"], added["every_s"]) == ("hourly", 3600)
    assert far.json("schedules", "pause", "hourly", who="boss")["paused"] is True
    assert far.json("schedules", "resume", "hourly", who="boss")["paused"] is False
    assert [one["id"] for one in far.json("schedules", "list", who="boss")] == ["hourly"]
    assert far.run("schedules", "remove", "hourly", who="boss").code == 0
    assert far.json("schedules", "list", who="boss") == []
    assert "there is no schedule hourly" in far.run("schedules", "pause", "hourly", who="boss").sentence


def test_run_of_somebody_else_is_not_there(far: Far) -> None:
    run_id = far.server.start()

    assert far.json("runs", "list", "--search", run_id, who="eve") == []
    for command in (["show"], ["watch"], ["cancel"], ["approve"], ["verify"]):
        assert f"there is no run {run_id}" in far.run("runs", *command, run_id, who="eve").sentence


def test_server_of_the_environment_is_used_unless_a_database_is_named(
    far: Far, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_URL", far.server.url)
    monkeypatch.setenv("STEPWELL_KEY", far.server.keys["ann"])

    assert inside.run("runs", "list", "--json").code == 0
    assert "there is no database" in inside.run("runs", "list", "--db", "sqlite:///none.db").sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "ftp://host"], "expected an address like"),
        (["--url", "http://127.0.0.1:9"], "cannot be reached"),
        (["--url", "http://127.0.0.1:9", "--db", "sqlite:///x.db"], "expected --url or --db"),
        (["--url", "http://127.0.0.1:9", "--key", "a\nb"], "--key"),
    ],
)
def test_wrong_place_is_refused(inside: Inside, options: list[str], words: str) -> None:
    assert words in inside.run("runs", "list", *options).sentence


def test_wrong_key_is_refused(inside: Inside, server: Server) -> None:
    assert "give a key" in inside.run("runs", "list", "--url", server.url).sentence
    assert server.url in inside.run("runs", "list", "--url", server.url, "--key", "swk_wrong").sentence


def test_name_of_who_decides_is_the_servers(far: Far) -> None:
    assert "a server knows by the key" in far.run("runs", "approve", "x", "--as", "boss").sentence


class Break(BaseHTTPRequestHandler):
    """Answers a stream in two halves: the connection breaks after the first event."""

    asked: list[str | None]

    def do_GET(self) -> None:
        place = self.headers.get("Last-Event-ID")
        self.asked.append(place)
        name, seq = ("RunCancelled", 2) if place else ("RunPaused", 1)
        event = {"type": name, "at": 1.0}
        body = json.dumps({"seq": seq, "item_number": 0, "event": event})
        self.send_response(200)
        self.send_header("Content-Length", "100000")  # more than comes
        self.end_headers()
        self.wfile.write(f"data: {body}\n\n".encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def breaking() -> Iterator[str]:
    """The address of a server whose streams break."""
    Break.asked = []
    with HTTPServer(("127.0.0.1", 0), Break) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_watch_goes_on_after_a_lost_connection(
    inside: Inside, breaking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.cli.remote.PAUSE_S", 0.01)
    ran = inside.run("runs", "watch", "some", "--json", "--url", breaking)

    assert [json.loads(line)["type"] for line in ran.out.splitlines()] == ["RunPaused", "RunCancelled"]
    assert Break.asked == [None, "1.0"]


def test_server_that_is_none_of_ours_is_named(inside: Inside, breaking: str) -> None:
    refused = inside.run("runs", "cancel", "some", "--url", breaking)

    assert "is it a Stepwell server?" in refused.sentence
