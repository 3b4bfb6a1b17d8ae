"""`stepwell serve` as a process: its URL, its end, and what it refuses."""

import json
import re
import resource
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from stepwell import App
from stepwell.cli.serve import MOST_FILES, UVICORN, refuse_strangers
from stepwell.settings import Settings

from . import documents
from .commands import Shell, until


@pytest.fixture
def server(shell: Shell) -> Iterator["subprocess.Popen[str]"]:
    with shell.background("serve", "--port", "0") as process:
        yield process


def url_of(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    found = re.fullmatch(r"stepwell serves (http://127\.0\.0\.1:\d+)\n", server.stdout.readline())
    assert found, "expected one line with the URL"
    return found[1]


def get(url: str, **headers: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def test_it_is_healthy_and_ready(server: "subprocess.Popen[str]") -> None:
    url = url_of(server)

    assert get(f"{url}/health") == (200, {"status": "healthy"})
    assert get(f"{url}/ready")[1]["status"] == "ready"
    assert get(f"{url}/health", Host="evil.example")[0] == 421


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly(server: "subprocess.Popen[str]", number: signal.Signals) -> None:
    url_of(server)

    server.send_signal(number)
    out, err = server.communicate(timeout=10)

    assert (server.returncode, out, err) == (0, "", "")


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_addresses_that_it_hands_out_have_the_port_it_listens_on(shell: Shell) -> None:
    shell.environ["STEPWELL_EGRESS_ALLOW"] = nobody = "127.0.0.1:9"
    with shell.background("serve", "--port", "0") as server:
        api = f"{url_of(server)}/api/v1"
        steps = [{"type": "wait", "key": "now", "config": {"seconds": 0}}]
        run = post(f"{api}/workflows", {"name": "Now", "steps": steps, "callback_url": f"http://{nobody}/"})
        deliveries = f"{api}/webhooks/callbacks/deliveries"
        (delivery,) = until(lambda: get(deliveries)[1]["data"], what="the end of the run")

    assert delivery["payload"]["data"]["link"] == f"{api}/workflows/{run['id']}"


@pytest.mark.slow
def test_it_goes_on_with_what_a_killed_process_left(shell: Shell) -> None:
    shell.write("short.yaml", documents.flow("short", "- pause: {wait: PT0.5S}\n- ask: {call: approval}\n"))
    with shell.background("run", "short.yaml") as process:
        run_id = until(lambda: process.stderr and process.stderr.readline(), what="the run").split()[1]
        process.kill()
        process.communicate()

    with shell.background("serve", "--port", "0") as server:
        url_of(server)
        until(lambda: shell.runs("show", run_id)["waiting_for"] == "approval", what="the approval")
        shell.runs("approve", run_id)
        until(lambda: shell.runs("show", run_id)["status"] == "completed", what="the end")


def test_it_takes_as_many_open_files_as_it_may_have(shell: Shell) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))  # the server begins with ours
    try:
        with shell.background("serve", "--port", "0") as server:
            url_of(server)
            found = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert found == (min(hard, MOST_FILES) if hard != resource.RLIM_INFINITY else MOST_FILES, hard)


def test_it_keeps_connections_for_longer_than_clients_do() -> None:
    config = uvicorn.Config("", **UVICORN)
    assert config.timeout_keep_alive > max(5, 15, 60), "httpx, aiohttp, and balancers as they come"


def test_second_server_on_the_same_file(shell: Shell, server: "subprocess.Popen[str]") -> None:
    url_of(server)

    sentence = shell.run("serve", "--port", "0").sentence

    assert sentence == (
        f"stepwell: {shell.folder}/stepwell.db is driven by another process (pid {server.pid}): "
        "stop it, or use its API, or `stepwell runs`"
    )


def test_port_that_is_taken(inside: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sentence = inside.run("serve", "--port", str(taken.getsockname()[1])).sentence

    assert "(Address already in use): end the program that does, or choose another with --port" in sentence


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_address_of_another_machine(inside: Shell, host: str) -> None:
    sentence = inside.run("serve", "--host", host).sentence

    assert f"cannot listen on {host}" in sentence
    assert sentence.endswith("choose an address of this machine with --host")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_address_that_others_can_reach(inside: Shell, host: str) -> None:
    assert (
        "make an API key first (stepwell keys create), or set up tokens (jwt_issuer), or listen on 127.0.0.1"
        in inside.run("serve", "--host", host).sentence
    )


async def test_address_that_others_can_reach_is_fine_once_there_are_tokens(shell: Shell) -> None:
    settings = Settings(
        db=f"sqlite:///{shell.folder}/t.db", jwt_issuer="https://id", jwt_audience=("a",), jwt_secret="x" * 32
    )
    async with App(settings=settings) as app:
        await refuse_strangers(app, "0.0.0.0")


def test_tokens_that_are_half_set_up_stop_it(inside: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_JWT_ISSUER", "https://id.example")

    sentence = inside.run("serve", "--port", "0").sentence

    assert sentence == "stepwell: jwt_issuer is set, and jwt_audience is not: tokens need both"


def test_flows_with_a_fault_stop_it(inside: Shell) -> None:
    inside.write("flows/bad.yaml", documents.UNKNOWN)

    assert inside.run("serve", "--port", "0", "--flows", "flows").sentence.startswith("flows/bad.yaml:4: ")
