"""`stepwell simulate` and `stepwell run` with pipelines."""

import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from brokers.kafka import KafkaCluster

from .commands import Shell

PIPELINE = """
id: orders
producerName: local
topic: orders
executions: 3
seed: s
pipeline:
  - stage: created
    emit: true
    key: {$ref: id}
    set: {id: {$fn: uuid()}, n: {$fn: "int(1,9)"}}
"""
FLOW = "document: {dsl: '1.0.3', namespace: a, name: b, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n"


@pytest.fixture(scope="module")
def cluster() -> KafkaCluster:
    return KafkaCluster()


def connected(shell: Shell, cluster: KafkaCluster) -> None:
    shell.write("connections.yaml", f"kafka: [{{name: local, bootstrap-servers: '{cluster.bootstrap_servers}'}}]\n")
    shell.environ["STEPWELL_CONNECTIONS"] = "connections.yaml"


def test_a_simulation_is_lines_of_json(inside: Shell) -> None:
    inside.write("orders.yaml", PIPELINE)
    ran = inside.run("simulate", "orders.yaml", "--executions", "2")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert [(line["execution"], line["stage"], line["headers"]) for line in lines] == [
        (n, "created", {}) for n in (1, 2)
    ]
    assert all(line["key"] == line["payload"]["id"] for line in lines)
    assert re.fullmatch(r"2 messages of 2 executions, [\d,]+ a second\n", ran.err)
    assert inside.run("simulate", "orders.yaml", "--executions", "2").out == ran.out, "the seed is the document's"
    assert inside.run("simulate", "orders.yaml", "--executions", "2", "--seed", "other").out != ran.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PIPELINE.replace("emit: true", "emit: 1"), "pipelines.yaml:9: /pipeline/0/emit: emit must be boolean"),
        (PIPELINE.replace("id: orders", "id: ''"), "pipelines.yaml:2: /id: id must not be blank"),
        (
            "document: {dsl: '1.0.3', namespace: a, name: b, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n",
            "is a flow",
        ),
        (PIPELINE.replace("{$ref: id}", "{$ref: nothing}"), "State path not found: state.nothing"),
    ],
)
def test_what_cannot_be_simulated(inside: Shell, text: str, said: str) -> None:
    inside.write("pipelines.yaml", text)
    ran = inside.run("simulate", "pipelines.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_schemas_come_from_the_file_of_connections(inside: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.write("order.proto", 'syntax = "proto3"; message Order { string id = 1; int32 n = 2; }')
    inside.write("connections.yaml", "schemas: [{name: order, file: order.proto}]\n")
    inside.write("orders.yaml", "contentType: protobuf\nschemaId: order\n" + PIPELINE)
    ran = inside.run("simulate", "orders.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert "schemaId must be defined in stage" in ran.err
    monkeypatch.setenv("STEPWELL_CONNECTIONS", "connections.yaml")
    assert inside.run("simulate", "orders.yaml").code == 0


@pytest.mark.slow
def test_a_run_sends_and_says_how_many(shell: Shell, cluster: KafkaCluster) -> None:
    connected(shell, cluster)
    shell.write("orders.yaml", PIPELINE)
    ran = shell.run("run", "orders.yaml", "--json")
    assert (ran.code, ran.json) == (0, {"requested": 3, "submitted": 3, "completed": 3, "failed": 0, "messages": 3})
    assert "3 executions ended, 0 of them failed; 3 messages acknowledged" in ran.err
    assert len(cluster.read("orders", 3)) == 3


def test_a_run_that_fails_says_why(shell: Shell) -> None:
    shell.write("orders.yaml", PIPELINE)
    ran = shell.run("run", "orders.yaml")
    assert (ran.code, ran.out) == (1, "")
    assert ran.problem["detail"] == "Producer not found: local"
    assert ran.problem["data"]["failed"] == 3


@pytest.mark.slow
def test_a_run_that_was_stopped_is_gone_on_with(shell: Shell, cluster: KafkaCluster) -> None:
    connected(shell, cluster)
    shell.write("orders.yaml", PIPELINE.replace("topic: orders", "topic: resumed") + "    wait: 6s\n")
    with shell.start("run", "orders.yaml") as process:
        assert process.stderr is not None
        run_id = process.stderr.readline().removeprefix("run ").strip()
        assert len(cluster.read("resumed", 3)) == 3
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert f"--resume {run_id}" in err
    ran = shell.run("run", "orders.yaml", "--resume", run_id, "--json")
    assert (ran.code, ran.json["completed"]) == (0, 3)
    sent = {dict(message.headers())["message-id"].decode() for message in cluster.read("resumed", 4, timeout_s=2)}
    assert sent == {f"{run_id}/{index}/1" for index in (1, 2, 3)}


@pytest.mark.slow
def test_on_a_terminal_there_is_a_bar(shell: Shell, cluster: KafkaCluster) -> None:
    connected(shell, cluster)
    shell.write("orders.yaml", PIPELINE)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stepwell", "run", "orders.yaml"],
        cwd=shell.folder,
        env={**shell.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    out, _ = process.communicate(timeout=60)
    shown = b""
    while True:
        try:
            part = os.read(master, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert (process.returncode, json.loads(out)["completed"]) == (0, 3)
    assert "3/3" in shown.decode()
    assert "messages/s" in shown.decode()
