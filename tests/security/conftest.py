from collections.abc import AsyncIterator

import pytest

from .servers import Served


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    server = await Served().open()
    yield server
    await server.close()
