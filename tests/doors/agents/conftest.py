"""A door for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import stepwell

from .door import Door, new_app, open_door


@pytest.fixture
def app(tmp_path: Path) -> stepwell.App:
    return new_app(tmp_path)


@pytest.fixture
async def door(app: stepwell.App) -> AsyncIterator[Door]:
    """Of a server that nobody has set authentication up for: every caller is the local principal."""
    async with open_door(app) as door:
        yield door
