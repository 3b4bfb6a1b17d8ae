"""The beat of open pages: who is refreshed, when, and how much of a core that may take."""

import asyncio

import pytest

from stepwell.console import pulse as pulsing
from stepwell.console.pulse import Pulse


class Engine:
    """Something is written all the time, or nothing."""

    def __init__(self, *, busy: bool) -> None:
        self._busy, self._writes = busy, 0

    @property
    def writes_seen(self) -> tuple[int, int]:
        self._writes += self._busy
        return self._writes, 0


class Watching:
    """A page that counts how often it was refreshed."""

    def __init__(self) -> None:
        self.times = 0
        self._next = asyncio.Event()

    async def refresh(self) -> bool:
        self.times += 1
        self._next.set()
        return True

    async def times_more(self, times: int) -> None:
        for _ in range(times):
            self._next.clear()
            await self._next.wait()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulsing, "BEAT_S", 0.001)


async def test_a_page_that_nobody_sees_is_left_alone() -> None:
    pulse, seen, hidden = Pulse(Engine(busy=True)), Watching(), Watching()  # type: ignore[arg-type]
    pulse.join(seen.refresh)
    page = pulse.join(hidden.refresh)
    await hidden.times_more(1)
    page.hidden = True
    before = hidden.times
    await seen.times_more(5)
    assert hidden.times == before
    page.hidden = False
    await hidden.times_more(1)
    await pulse.close()


async def test_a_page_has_news_of_its_own() -> None:
    pulse, version, ours, other = Pulse(Engine(busy=False)), [0], Watching(), Watching()  # type: ignore[arg-type]
    pulse.join(ours.refresh, version=lambda: version[0])
    pulse.join(other.refresh)
    await ours.times_more(1)
    before = other.times
    for _ in range(3):
        version[0] += 1
        await ours.times_more(1)
    assert other.times <= max(before, 1)
    await pulse.close()


async def test_what_is_sent_counts_against_the_share_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulsing, "SHARE", 0.0)
    monkeypatch.setattr(pulsing, "SEND_S", pulsing.BURST_S / 4)
    pulse, pages = Pulse(Engine(busy=True)), [Watching() for _ in range(10)]  # type: ignore[arg-type]
    for page in pages:
        pulse.join(page.refresh, unsent=lambda: 1)
    await pages[0].times_more(1)
    assert 1 <= sum(page.times for page in pages) <= 4
    await pulse.close()
