"""The beat of all live pages: at most four times a second it looks whether anything was committed, and if so lets
each page look again.

One loop serves every page, and stops when none is open. It measures what its pages cost and keeps them, all together,
under a share of one core: many open pages are refreshed less often, and never slow the runs down.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from stepwell.engine import Engine

BEAT_S: Final = 0.25
QUIET_S: Final = 5.0
"""A page is refreshed this often although nothing was committed here: another machine may have."""
SHARE: Final = 0.025
"""Of one core, for refreshing all pages and sending what has changed."""
SEND_S: Final = 0.0002
"""What sending to one page takes, most of it in the system's call; measured by `bench.console`."""
BURST_S: Final = 0.2
"""What may be spent at once after a while of quiet."""

Refresh = Callable[[], Awaitable[bool]]
"""Brings a page up to date and raises nothing; whether that worked: if not it is tried again at the next beat."""
T = TypeVar("T")


class Page:
    """A page that is refreshed. `version` is of what it alone looks at: another one is news to it; `unsent` tells how
    many messages to it wait. `dirty` when it may have something to show, `hidden` while nobody sees it (a tab in the
    background).
    """

    def __init__(self, refresh: Refresh, version: Callable[[], int], unsent: Callable[[], int]) -> None:
        self.refresh = refresh
        self.version = version
        self.unsent = unsent
        self.seen = -1
        self.dirty = True
        self.hidden = False
        self.refreshed_at = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is to be refreshed; one that nobody sees now and then only, for its title and its credential."""
        return self.dirty and (not self.hidden or now - self.refreshed_at > QUIET_S)


class Pulse:
    """The pages that are open, and the loop that refreshes them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pages: list[Page] = []
        self._task: asyncio.Task[None] | None = None
        self._seen: tuple[int, int] = (0, 0)
        self._shared: dict[Any, asyncio.Future[Any]] = {}
        self._budget_s = BURST_S
        self._budget_at = time.monotonic()

    def join(
        self,
        refresh: Refresh,
        *,
        version: Callable[[], int] = int,
        unsent: Callable[[], int] = int,
        hidden: bool = False,
    ) -> Page:
        """Have `refresh` called at each beat with news, from now on."""
        page = Page(refresh, version, unsent)
        page.hidden = hidden
        self._pages.append(page)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="stepwell-console")
        return page

    def leave(self, page: Page) -> None:
        """The page is closed."""
        if page in self._pages:
            self._pages.remove(page)

    async def shared(self, key: Any, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` gives, made once per beat for all pages that ask under this key."""
        future = self._shared.get(key)
        if future is None or (future.done() and (future.cancelled() or future.exception() is not None)):
            future = self._shared[key] = asyncio.ensure_future(make())
        found: T = await asyncio.shield(future)  # one page that is closed must not take it from the others
        return found

    def forget(self) -> None:
        """What was shared is made anew from here on."""
        self._shared.clear()

    async def close(self) -> None:
        """End the loop; pages are refreshed no more."""
        self._pages.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        due: list[Page] = []
        while self._pages:
            await asyncio.sleep(BEAT_S)
            if not due:  # all of a round share what it read, however many beats the round takes
                due = self._look(time.monotonic())
            while due and self._may_spend():
                page = due.pop(0)
                if page in self._pages:
                    await self._refresh(page)
        self._task = None

    def _look(self, now: float) -> list[Page]:
        """Mark the pages that may have something to show; those that are due, who waits longest first."""
        seen = self._engine.writes_seen
        news, self._seen = seen != self._seen, seen
        if news or any(now - page.refreshed_at > QUIET_S for page in self._pages):
            self.forget()
        for page in self._pages:
            page.dirty |= news or page.version() != page.seen or now - page.refreshed_at > QUIET_S
        return sorted((page for page in self._pages if page.is_due(now)), key=lambda page: page.refreshed_at)

    async def _refresh(self, page: Page) -> None:
        began = time.thread_time()
        page.seen = page.version()  # before it reads: what comes meanwhile is news
        page.dirty = not await page.refresh()
        page.refreshed_at = time.monotonic()
        self._budget_s -= time.thread_time() - began + SEND_S * page.unsent()

    def _may_spend(self) -> bool:
        now = time.monotonic()
        self._budget_s = min(BURST_S, self._budget_s + (now - self._budget_at) * SHARE)
        self._budget_at = now
        return self._budget_s > 0
