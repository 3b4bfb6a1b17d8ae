"""The standard's own material, run through the public API: an app on a database of its own, stubs for the network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(Path(tmp_path_factory.mktemp("standard"))) as found:
        yield found
