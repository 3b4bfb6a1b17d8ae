"""How brokers are reached: records, without the libraries that reach them."""

from typing import Any, Final, Literal

import msgspec

BROKER: Final = "broker"
"""The kind of record that keeps one; its id is `<type>/<name>`."""
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cluster. `tls` is implied by credentials unless it is switched off."""

    bootstrap_servers: str
    username: str | None = None
    password: str | None = None
    mechanism: SaslMechanism = "PLAIN"
    tls: bool | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    request_timeout_s: float = 30.0
    max_batch_bytes: int = 65_536


class RabbitOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A virtual host of a broker."""

    host: str
    port: int = 5672
    virtual_host: str = "/"
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    timeout_s: float = 30.0


BrokerOptions = KafkaOptions | RabbitOptions


def read_options(id: str, data: dict[str, Any]) -> BrokerOptions:
    """How the broker of a record is reached, by the record's id and data."""
    kind: Any = KafkaOptions if id.startswith("kafka/") else RabbitOptions
    options: BrokerOptions = msgspec.convert(data["options"], kind)
    return options
