"""Event pipelines: simulated events a second; messages a second through Kafka and RabbitMQ beside what the bare
client library sends of the same payloads, by turns; the memory of one run of a million executions.

Kafka is librdkafka's own cluster in a process of its own; RabbitMQ is Debian's, and is left out where there is none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import aio_pika
import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from tests.brokers.kafka import KafkaProcess, kafka
from tests.brokers.rabbit import Rabbit, installed, rabbit

from bench.gauge import median, rss_bytes, timed
from bench.size import Size
from stepwell import App
from stepwell.engine import Engine
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.simulating import simulate
from stepwell.settings import Settings
from stepwell.tuning import tune_interpreter

PLACE: Final = "bench"
"""The topic, the queue, and the name of both connections."""
PIPELINE: Final[dict[str, Any]] = {
    "id": "bench",
    "producerName": PLACE,
    "topic": PLACE,
    "pipeline": [
        {
            "stage": "created",
            "emit": True,
            "set": {"id": {"$fn": "uuid()"}, "amount": {"$fn": "int(1,1000)"}, "at": {"$fn": "now()"}},
        }
    ],
}
AT_ONCE: Final = 10_000
"""Executions of one simulation."""
UNCONFIRMED: Final = 1_000
"""Messages that the bare client has on their way to RabbitMQ at most: as many as the engine has."""
LOOK_S: Final = 0.1

Work = Callable[[], Awaitable[Any]]


async def measure(folder: Path, size: Size) -> dict[str, float]:
    with ExitStack() as brokers:
        cluster = brokers.enter_context(kafka())
        node = brokers.enter_context(rabbit(_made(folder / "rabbit"))) if installed() else None
        app = App(
            settings=Settings(db=f"sqlite:///{folder}/engine.db", connections=_connections(folder, cluster, node))
        )
        tune_interpreter()
        async with app:
            payloads = await _payloads(app, size.messages)
            figures = await _simulated(app, size)
            figures |= await _kafka_beside_its_client(app.engine, cluster, payloads, size)
            if node is not None:
                figures |= await _rabbit_beside_its_client(app.engine, node, payloads, size)
            return figures | await _many(app.engine, size)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _connections(folder: Path, cluster: KafkaProcess, node: Rabbit | None) -> str:
    file = folder / "connections.json"
    lists: dict[str, Any] = {"kafka": [{"name": PLACE, "bootstrap-servers": cluster.bootstrap_servers}]}
    if node is not None:
        lists["rabbit"] = [{"name": PLACE, "host": "127.0.0.1", "port": node.port}]
    file.write_bytes(msgspec.json.encode(lists))
    return str(file)


async def _payloads(app: App, count: int) -> list[bytes]:
    """What the pipeline sends."""
    pipeline = app.parts.pipelines.read(JSON.encode(PIPELINE).decode())
    found: list[bytes] = []
    while len(found) < count:
        executions = await simulate(pipeline, seed=str(len(found)), started_at=0.0, executions=AT_ONCE)
        found += [message.body for messages in executions for message in messages]
    return found[:count]


async def _simulated(app: App, size: Size) -> dict[str, float]:
    """Through the door, from the text of the document to the text of the answer."""
    server = app.asgi()
    transport = httpx.ASGITransport(server, client=("127.0.0.1", 1))
    async with (
        server.router.lifespan_context(server),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client,
    ):

        async def ask() -> None:
            answer = await client.post("/engine/simulate", params={"executions": AT_ONCE}, json=PIPELINE)
            answer.raise_for_status()

        await ask()
        took = [(await timed(ask)).wall_s for _ in range(size.passes)]
    return {"simulated_events_per_s": AT_ONCE / median(took)}


async def _execute(engine: Engine, type: str, executions: int) -> None:
    """One run, to its end."""
    text = JSON.encode({**PIPELINE, "messageType": type, "executions": executions}).decode()
    name, version = f"bench-{type}", str(executions)
    await engine.save(kind="pipeline", name=name, version=version, text=text)
    result = await engine.run(name, {"executions": executions}, version=version)
    assert result.status == "completed", result.error


async def _kafka_beside_its_client(
    engine: Engine, cluster: KafkaProcess, payloads: list[bytes], size: Size
) -> dict[str, float]:
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers, enable_idempotence=True, acks="all", max_batch_size=65_536
    )
    await producer.start()

    async def bare() -> None:
        sent = [await producer.send(PLACE, payload) for payload in payloads]
        await asyncio.gather(*sent)

    try:
        return await _beside("kafka", bare, lambda: _execute(engine, "kafka", len(payloads)), len(payloads), size)
    finally:
        await producer.stop()


async def _rabbit_beside_its_client(
    engine: Engine, node: Rabbit, payloads: list[bytes], size: Size
) -> dict[str, float]:
    async with await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{node.port}/") as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        queue = await channel.declare_queue(PLACE, durable=True)
        room = asyncio.Semaphore(UNCONFIRMED)

        async def publish(payload: bytes) -> None:
            message = aio_pika.Message(payload, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            try:
                await channel.default_exchange.publish(message, routing_key=PLACE, mandatory=True)
            finally:
                room.release()

        async def bare() -> None:
            async with asyncio.TaskGroup() as group:
                for payload in payloads:
                    await room.acquire()
                    group.create_task(publish(payload))

        async def execute() -> None:
            await _execute(engine, "rabbit", len(payloads))

        found = await _beside("rabbit", bare, execute, len(payloads), size)
        await queue.purge()
        return found


async def _beside(name: str, bare: Work, execute: Work, count: int, size: Size) -> dict[str, float]:
    """Both by turns, after one turn that does not count."""
    await bare()
    await execute()
    took = [((await timed(bare)).wall_s, (await timed(execute)).wall_s) for _ in range(size.passes)]
    return {
        f"{name}_bare_messages_per_s": count / median([bare_s for bare_s, _ in took]),
        f"{name}_messages_per_s": count / median([execute_s for _, execute_s in took]),
        f"{name}_ratio": median([bare_s / execute_s for bare_s, execute_s in took]),
    }


async def _many(engine: Engine, size: Size) -> dict[str, float]:
    """One run of very many executions: its rate, and the most memory that this process had meanwhile."""
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, rss_bytes())
            await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look())
    took = await timed(lambda: _execute(engine, "kafka", size.executions))
    looking.cancel()
    return {
        "executions_of_one_run": size.executions,
        "executions_per_s": size.executions / took.wall_s,
        "executions_rss_mb": most / 1e6,
    }
