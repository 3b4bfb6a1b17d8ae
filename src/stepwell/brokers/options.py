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

    def check(self) -> None:
        """Raises `ValueError` for options that do not go together. On record they may stand: they are read."""
        _check(self, secure=self.secure)
        if self.mechanism != "PLAIN" and not self.username:
            raise ValueError(f"mechanism {self.mechanism} needs username and password")

    @property
    def secure(self) -> bool:
        """Whether it is spoken to over TLS."""
        return bool(self.username) if self.tls is None else self.tls


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

    def check(self) -> None:
        """Raises `ValueError` for options that do not go together, as for Kafka."""
        _check(self, secure=self.tls)


BrokerOptions = KafkaOptions | RabbitOptions


def _check(options: BrokerOptions, *, secure: bool) -> None:
    """What would be left out of account without a word is refused."""
    if bool(options.username) != bool(options.password):
        raise ValueError("username and password go together")
    if options.key_file and not options.certificate_file:
        raise ValueError("the file of a key goes with the file of its certificate")
    if not secure and (options.ca_file or options.certificate_file):
        raise ValueError("files of certificates are for connections over TLS: set tls to true")


def read_options(id: str, data: dict[str, Any]) -> BrokerOptions:
    """How the broker of a record is reached, by the record's id and data."""
    kind: Any = KafkaOptions if id.startswith("kafka/") else RabbitOptions
    options: BrokerOptions = msgspec.convert(data["options"], kind)
    return options
