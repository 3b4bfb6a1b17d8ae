"""The devset API: an event pipeline is simulated, then sent to Kafka and to RabbitMQ, and read back from there.

The pipeline is `examples/pipelines/orders.yaml`. Kafka is librdkafka's own cluster, which speaks the real protocol;
RabbitMQ is Debian's, where it is installed.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import aio_pika
from stage import HERE, Stage, expect

from stepwell.programs.flow.reading import read

sys.path.append(str(HERE.parents[1] / "tests"))
from brokers.kafka import kafka
from brokers.rabbit import installed, rabbit

ORDERS = HERE.parent / "pipelines" / "orders.yaml"
CONNECTORS = "/connectors/configurations"
SHOWN = 3


def play(stage: Stage) -> None:
    document = read(ORDERS.read_text()).value
    simulated = _simulate(stage, document)
    _to_kafka(stage, document, simulated)
    if installed():
        _to_rabbit(stage, document, simulated)
    else:
        stage.say("RabbitMQ is not installed (Debian's package rabbitmq-server): the demo goes on without it")


def _simulate(stage: Stage, document: Any) -> list[Any]:
    """The payloads that a run will send: the seed is in the document."""
    path = f"/engine/simulate?executions={document['executions']}"
    events = _events(stage.ask("POST", path, document))
    stage.say(f"simulated {document['executions']} executions, {len(events)} messages; the first of them:\n")
    for event in events[:SHOWN]:
        print(f"  {event['stageName']:8} {json.dumps(event['payload'])}")
    print()
    return [_lasting(event["payload"]) for event in events]


def _to_kafka(stage: Stage, document: Any, simulated: list[Any]) -> None:
    cluster = stage.at_end.enter_context(kafka())
    connector = {"type": "kafka", "name": "local", "bootstrapServers": cluster.bootstrap_servers}
    stage.send("POST", CONNECTORS, json=connector)
    _execute(stage, document, simulated)
    found = cluster.read(document["topic"], len(simulated))
    expect("messages in Kafka", _sorted(json.loads(message.value()) for message in found), _sorted(simulated))
    partitions = {message.partition() for message in found}
    stage.say(f"an independent consumer reads the same {len(found)} messages from {len(partitions)} partitions")


def _to_rabbit(stage: Stage, document: Any, simulated: list[Any]) -> None:
    folder = stage.at_end.enter_context(tempfile.TemporaryDirectory(prefix="stepwell-rabbit-"))
    node = stage.at_end.enter_context(rabbit(Path(folder)))
    stage.say("RabbitMQ has started")
    url = f"amqp://guest:guest@127.0.0.1:{node.port}/"
    asyncio.run(_declare(url, document["topic"]))
    connector = {"type": "rabbit", "name": "local", "host": "127.0.0.1", "port": node.port}
    stage.send("POST", CONNECTORS, json=connector)
    _execute(stage, {**document, "messageType": "rabbit"}, simulated)
    found = asyncio.run(_taken(url, document["topic"], len(simulated)))
    expect("messages in RabbitMQ", _sorted(found), _sorted(simulated))
    stage.say(f"an independent consumer takes the same {len(found)} messages from the queue")


def _execute(stage: Stage, document: Any, simulated: list[Any]) -> None:
    run_id = stage.ask("POST", "/engine/execute", document, status=202)["runId"]
    run = stage.until(
        lambda: stage.ask("GET", f"/engine/runs/{run_id}"), lambda run: not run["active"], what="the end of the run"
    )
    expect("status", (run["status"], run["errorMessage"]), ("COMPLETED", None))
    expect("executions", run["completedExecutions"], document["executions"])
    events = _events(stage.ask("GET", f"/engine/runs/{run_id}/events"))
    expect("payloads", _sorted(_lasting(event["payload"]) for event in events), _sorted(simulated))
    stage.say(f"run {run_id}: {run['completedExecutions']} executions, all {len(events)} messages acknowledged")


def _events(found: Any) -> list[Any]:
    return [event for group in found["executions"] for event in group["events"]]


def _lasting(payload: Any) -> Any:
    """What does not depend on the hour."""
    return {name: value for name, value in payload.items() if name not in ("at", "paidAt")}


def _sorted(payloads: Any) -> list[str]:
    return sorted(json.dumps(_lasting(payload), sort_keys=True) for payload in payloads)


async def _declare(url: str, queue: str) -> None:
    async with await aio_pika.connect(url) as connection:
        await (await connection.channel()).declare_queue(queue, durable=True)


async def _taken(url: str, queue: str, count: int) -> list[Any]:
    found: list[Any] = []
    async with await aio_pika.connect(url) as connection:
        source = await (await connection.channel()).get_queue(queue)
        async with source.iterator(no_ack=True) as incoming:
            async for message in incoming:
                found.append(json.loads(message.body))
                if len(found) == count:
                    break
    return found
