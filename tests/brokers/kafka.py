"""A Kafka cluster in this process: librdkafka's own, which speaks the real protocol on loopback."""

from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition


class KafkaCluster:
    """One broker. It lives as long as this object."""

    def __init__(self) -> None:
        self._keeper = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._keeper.list_topics(timeout=10).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def read(self, topic: str, count: int, *, timeout_s: float = 20.0) -> list[Any]:
        """The first `count` messages of all partitions, by an independent consumer."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": "reader", "log_level": 0})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            found: list[Any] = []
            while len(found) < count:
                batch = consumer.consume(count - len(found), timeout=timeout_s)
                if not batch:
                    break
                found += [message for message in batch if message.error() is None]
            return found
        finally:
            consumer.close()
