"""Where the messages of a pipeline go."""

import re
from typing import Final, Literal

import msgspec

from stepwell.programs.pipeline.faults import Faults

MessageType = Literal["kafka", "rabbit"]
MAX_NAME_BYTES: Final = 255
"""Of names in AMQP."""
_KAFKA_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A Kafka topic, or an exchange and routing key of RabbitMQ ("" is the default exchange)."""

    type: MessageType
    producer: str
    topic: str | None = None
    exchange: str | None = None
    routing_key: str | None = None

    def check(self, faults: Faults) -> None:
        """That a run may be started: what is sent has somewhere to go, of a name that can be."""
        if self.type == "kafka":
            self._check_topic(faults)
        elif not (self.topic or self.routing_key or self.exchange):
            faults.add("/topic", "For rabbit workflow, provide topic (queue), routingKey or exchange")
        else:
            for pointer, name in zip(
                ("/exchange", "/routingKey" if self.routing_key else "/topic"), self.address, strict=True
            ):
                if len(name.encode()) > MAX_NAME_BYTES:
                    faults.add(pointer, f"exchange and routing key must be of at most {MAX_NAME_BYTES} bytes")

    def _check_topic(self, faults: Faults) -> None:
        if not self.topic:
            faults.add("/topic", "topic must not be blank")
        elif not _KAFKA_TOPIC.fullmatch(self.topic):
            faults.add("/topic", "topic must be of letters, digits, '.', '_' and '-', at most 249 of them")

    def missing(self, step: str) -> str:
        """What the step that sends lacks, for what was never checked before; empty when it is nothing."""
        if self.type == "kafka" and not self.topic:
            return f"Missing config 'topic' for step: {step}"
        if self.type == "rabbit" and not (self.topic or self.routing_key or self.exchange):
            return f"Rabbit send requires topic (queue), routingKey or exchange for step: {step}"
        return ""

    @property
    def address(self) -> tuple[str, str]:
        """Exchange and routing key of RabbitMQ; a queue is reached through the default exchange."""
        return self.exchange or "", self.routing_key or self.topic or ""
