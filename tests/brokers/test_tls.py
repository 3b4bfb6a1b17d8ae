"""TLS towards brokers: a real RabbitMQ that wants certificates; of Kafka the handshake and the first request.

No Kafka server with TLS or SASL is at hand (librdkafka's cluster has neither), so for those it is tested that every
option reaches the client.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stepwell.brokers import kafka as kafka_broker
from stepwell.brokers.kafka import KafkaBroker
from stepwell.brokers.options import KafkaOptions, RabbitOptions
from stepwell.brokers.port import BrokerError, Outgoing, deliver
from stepwell.brokers.rabbitmq import RabbitBroker

from .certificates import Certificates
from .rabbit import Rabbit

MESSAGE = Outgoing(message_id="run/1/1", topic="t", body=b"{}")


# --- RabbitMQ -------------------------------------------------------------------------------------------------------


async def sent_to(node: Rabbit, **options: Any) -> bool:
    """Whether a node confirms a message; raises `BrokerError`."""
    broker = RabbitBroker(RabbitOptions(host="127.0.0.1", port=node.tls_port, tls=True, timeout_s=10.0, **options))
    try:
        return (await deliver(broker, Outgoing(message_id="run/1/1", routing_key="secret", body=b"{}"))).confirmed
    finally:
        await broker.aclose()


@pytest.mark.slow
async def test_rabbitmq_confirms_over_tls_to_a_client_with_a_certificate(node: Rabbit) -> None:
    known = node.certificates
    plain = RabbitBroker(RabbitOptions(host="127.0.0.1", port=node.port))
    channel = await plain._open()  # to make a queue, which is none of the broker's own work
    await channel.declare_queue("secret", durable=True)
    assert await sent_to(
        node,
        ca_file=known.ca,
        certificate_file=known.client,
        key_file=known.client_key,
        username="guest",
        password="guest",
    )
    found = await (await channel.get_queue("secret")).get(no_ack=True)
    assert found is not None
    assert found.message_id == "run/1/1"
    await plain.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["authority", "wrong authority", "certificate"])
async def test_rabbitmq_over_tls_without_what_it_takes_is_an_error(node: Rabbit, missing: str) -> None:
    known = node.certificates
    options: dict[str, Any] = {"certificate_file": known.client, "key_file": known.client_key, "ca_file": known.ca}
    match missing:
        case "authority":
            del options["ca_file"]
        case "wrong authority":
            options["ca_file"] = known.stranger
        case "certificate":
            del options["certificate_file"], options["key_file"]
    with pytest.raises(BrokerError, match=rf"127\.0\.0\.1:{node.tls_port} cannot be reached"):
        await sent_to(node, **options)


# --- Kafka ----------------------------------------------------------------------------------------------------------


async def test_kafka_is_spoken_to_over_tls_with_our_certificate(tmp_path: Path) -> None:
    known = Certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=known.ca)
    context.load_cert_chain(known.server, known.server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    seen: asyncio.Future[tuple[Any, bytes]] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(6)
        if not seen.done():
            seen.set_result((writer.get_extra_info("peercert"), request))
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        broker = KafkaBroker(
            KafkaOptions(
                bootstrap_servers=f"127.0.0.1:{port}",
                tls=True,
                ca_file=known.ca,
                certificate_file=known.client,
                key_file=known.client_key,
                request_timeout_s=10.0,
            )
        )
        with pytest.raises(BrokerError, match="cannot be reached"):
            await deliver(broker, MESSAGE)
        certificate, request = await seen
        await broker.aclose()
    assert certificate["subject"] == ((("commonName", "client"),),)
    assert request[4:6] in (b"\x00\x12", b"\x00\x03"), "ApiVersions or Metadata (Kafka's protocol guide, API keys)"


class Client:
    """Stands for aiokafka's producer and consumer: notes what it is given, and reaches nobody."""

    given: dict[str, Any]

    def __init__(self, *_topics: str, **given: Any) -> None:
        Client.given = given

    async def start(self) -> None:
        raise KafkaConnectionError("nobody is there")

    async def stop(self) -> None: ...

    class _Sender:
        sender_task = None

    _sender = _Sender()


PLAIN = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "u", "sasl_plain_password": "p"}
LOGIN = {"username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({}, {"security_protocol": "PLAINTEXT"}),
        ({"tls": True}, {"security_protocol": "SSL"}),
        (LOGIN, {"security_protocol": "SASL_SSL", **PLAIN}),
        ({**LOGIN, "tls": True}, {"security_protocol": "SASL_SSL", **PLAIN}),
        ({**LOGIN, "tls": False}, {"security_protocol": "SASL_PLAINTEXT", **PLAIN}),
        (
            {**LOGIN, "mechanism": "SCRAM-SHA-256"},
            {"security_protocol": "SASL_SSL", **PLAIN, "sasl_mechanism": "SCRAM-SHA-256"},
        ),
        (
            {**LOGIN, "mechanism": "SCRAM-SHA-512", "tls": False},
            {"security_protocol": "SASL_PLAINTEXT", **PLAIN, "sasl_mechanism": "SCRAM-SHA-512"},
        ),
        ({"request_timeout_s": 2.5}, {"security_protocol": "PLAINTEXT", "request_timeout_ms": 2500}),
    ],
    ids=lambda value: "+".join(f"{name}={text}" for name, text in value.items()) or "nothing",
)
async def test_every_option_reaches_kafkas_client(
    options: dict[str, Any], given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIOKafkaProducer", "AIOKafkaConsumer"):
        monkeypatch.setattr(kafka_broker, name, Client)
    broker = KafkaBroker(KafkaOptions(bootstrap_servers="far:9092", **options))

    async def keep(_content: Any) -> None: ...

    seen = []
    with pytest.raises(BrokerError):
        await deliver(broker, MESSAGE)
    seen.append(Client.given)
    with pytest.raises(BrokerError):
        await broker.expect("t", lambda _content: True, since=0.0, within_s=5.0, keep=keep)
    seen.append(Client.given)
    await broker.aclose()
    for found in seen:
        context = found.pop("ssl_context", None)
        assert (context is not None) == ("SSL" in found["security_protocol"])
        assert context is None or (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        wanted = {"bootstrap_servers": "far:9092", "request_timeout_ms": 30_000, **given}
        assert {name: found[name] for name in wanted} == wanted
        assert ("sasl_mechanism" in found) == ("username" in options)
    assert (seen[0]["acks"], seen[0]["enable_idempotence"], seen[0]["max_batch_size"]) == ("all", True, 65_536)


async def test_files_that_are_not_there_are_an_error() -> None:
    options = KafkaOptions(bootstrap_servers="127.0.0.1:1", tls=True, ca_file="/nowhere/ca.pem")
    with pytest.raises(BrokerError, match="TLS files of a broker cannot be used") as caught:
        await deliver(KafkaBroker(options), MESSAGE)
    assert not caught.value.retryable
