"""A Kafka cluster of librdkafka's own, which speaks the real protocol on loopback: in this process, or in its own.

Run as a program it is the latter: it prints where it listens, and ends when its input does.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
        return read(self.bootstrap_servers, topic, count, timeout_s=timeout_s)


class KafkaProcess:
    """A cluster in a process of its own, which can stand still: then nothing is answered, and nothing is lost."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.bootstrap_servers = self._process.stdout.readline().decode().strip()

    def halt(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def read(self, topic: str, count: int, *, timeout_s: float = 20.0) -> list[Any]:
        return read(self.bootstrap_servers, topic, count, timeout_s=timeout_s)


@contextmanager
def kafka() -> Iterator[KafkaProcess]:
    """Started, and stopped in the end."""
    cluster = KafkaProcess()
    try:
        yield cluster
    finally:
        cluster.close()


def read(bootstrap_servers: str, topic: str, count: int, *, timeout_s: float) -> list[Any]:
    """The first `count` messages of a topic; fewer when none came for so long."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader", "log_level": 0})
    try:
        give_up_at = time.monotonic() + timeout_s
        while not (partitions := consumer.list_topics(topic, timeout=10).topics[topic].partitions):
            if time.monotonic() > give_up_at:  # nobody has sent anything there
                return []
            time.sleep(0.02)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Any] = []
        while len(found) < count:
            batch = consumer.consume(min(count - len(found), 10_000), timeout=timeout_s)
            if not batch:
                break
            found += [message for message in batch if message.error() is None]
        return found
    finally:
        consumer.close()


if __name__ == "__main__":
    cluster = KafkaCluster()
    print(cluster.bootstrap_servers, flush=True)
    sys.stdin.read()
