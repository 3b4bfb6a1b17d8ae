"""The brokers that tests share: RabbitMQ takes ten seconds to start."""

import os
from collections.abc import Iterator

import pytest

from .kafka import KafkaProcess, kafka
from .rabbit import Rabbit, installed, rabbit


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    if not installed():
        assert not os.environ.get("CI"), "RabbitMQ has to be installed where all tests must run"
        pytest.skip("RabbitMQ is not installed (Debian's package rabbitmq-server)")
    with rabbit(tmp_path_factory.mktemp("rabbit")) as found:
        yield found


@pytest.fixture
def halting() -> Iterator[KafkaProcess]:
    """A cluster that can stand still."""
    with kafka() as found:
        yield found
