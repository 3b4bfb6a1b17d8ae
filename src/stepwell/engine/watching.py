"""Watching runs: everything on record after a point, then whatever follows, until the run ends.

The record is the guarantee; what drivers hand over after a commit only saves reading it again. A channel keeps the
last commits of a watched run for all its watchers; one that falls behind reads from the store, at its own pace.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from stepwell.core import history as h
from stepwell.engine.crowd import Crowd
from stepwell.engine.journal import Journal
from stepwell.store.model import StreamItem
from stepwell.store.port import RunStore

KEPT: Final = 200
"""Commits a channel keeps for its watchers."""
PAGE: Final = 500
LAST: Final = (h.RunCompleted, h.RunFailed, h.RunCancelled)
"""Events after which a run stands still; a retry or a roll-back may follow later."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a watcher sees: an event with its seq, or a stream item with its number; the other is None."""

    seq: int
    item_number: int
    event: h.AnyEvent | None = None
    item: StreamItem | None = None


class _Commit(msgspec.Struct):
    """What one commit added: events after `after_seq`, items after `after_item`, up to `seq` and `item_number`."""

    after_seq: int
    after_item: int
    seq: int
    item_number: int
    events: list[h.AnyEvent]
    items: list[StreamItem]
    _seen: list[Seen] | None = None

    @property
    def seen(self) -> list[Seen]:
        """As watchers see it; made for the first of them."""
        if self._seen is None:
            items = [_read_back(item) for item in self.items]
            self._seen = _seen(self.after_seq, self.after_item, self.events, items)
        return self._seen


class _Channel:
    """The latest commits of one run, and those who wait for the next."""

    def __init__(self) -> None:
        self.commits: deque[_Commit] = deque(maxlen=KEPT)
        self.watchers = 0
        self.version = 0
        self.doubted = 0
        """The version when somebody else appended last."""
        self._waiting = Crowd()

    def notify(self) -> None:
        self.version += 1
        self._waiting.let_go()

    def doubt(self) -> None:
        """Somebody else appended: what is in memory may not be the latest, nor may a commit be whose hint is late."""
        self.commits.clear()
        self.notify()
        self.doubted = self.version

    async def newer_than(self, version: int) -> None:
        """Wait for a notification after the one that made `version`; at once if there was one."""
        if self.version == version:
            await self._waiting.wait()

    def after(self, seq: int, item: int) -> list[_Commit]:
        """What follows a point; nothing when that is not, or not all, in memory."""
        found: list[_Commit] = []
        for commit in self.commits:
            if commit.after_seq == seq and commit.after_item == item:
                found.append(commit)
                seq, item = commit.seq, commit.item_number
        return found

    def ends_at(self, seq: int, item: int, read_at: int) -> bool:
        """Whether nothing is on record after a point that will not be hinted at: the latest commit ended there,
        and since the store was read, at the version `read_at`, nobody else has appended.
        """
        last = self.commits[-1] if self.commits else None
        return last is not None and (last.seq, last.item_number) == (seq, item) and read_at >= self.doubted


class _Keeping:
    """Keeps a run's channel open. Written out: each blocking execution has one."""

    __slots__ = ("_channel", "_channels", "_run_id")

    def __init__(self, channels: dict[str, _Channel], run_id: str) -> None:
        self._channels = channels
        self._run_id = run_id

    def __enter__(self) -> _Channel:
        channel = self._channels.get(self._run_id)
        if channel is None:
            channel = self._channels[self._run_id] = _Channel()
        self._channel = channel
        channel.watchers += 1
        return channel

    def __exit__(self, *_raised: object) -> None:
        channel = self._channel
        channel.watchers -= 1
        if not channel.watchers and self._channels.get(self._run_id) is channel:
            del self._channels[self._run_id]


def _read_back(item: StreamItem) -> StreamItem:
    """An item as the store would give it back: data that came as text is read."""
    if type(item.data) is not msgspec.Raw:
        return item
    return msgspec.structs.replace(item, data=msgspec.json.decode(item.data))


class Watchers:
    """The channels of all watched runs."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.channels: dict[str, _Channel] = {}
        self._stopping = asyncio.Event()

    def committed(self, journal: Journal, events: list[h.AnyEvent], items: list[StreamItem]) -> None:
        """Hand what is on disk now to the run's watchers, if it has any."""
        channel = self.channels.get(journal.state.run_id)
        if channel is None or not (events or items):
            return
        seq, number = journal.saved_seq, journal.saved_items
        channel.commits.append(_Commit(seq - len(events), number - len(items), seq, number, events, items))
        channel.notify()

    def changed(self, run_id: str) -> None:
        """Somebody else appended to the run: whoever watches it reads."""
        channel = self.channels.get(run_id)
        if channel is not None:
            channel.doubt()

    def close(self) -> None:
        """End all watching, at shutdown."""
        self._stopping.set()
        for channel in self.channels.values():
            channel.notify()

    async def closed(self) -> None:
        """Wait until all watching ends."""
        await self._stopping.wait()

    async def watch(self, run_id: str, after_seq: int, after_item: int) -> AsyncIterator[Seen]:
        """All that follows the two points, in commit order, until the run has ended and everything was seen."""
        with self.keeping(run_id) as channel:
            after_seq = await self._at_most_last(run_id, after_seq)
            ended = after_seq > 0 and await self._ended_at(run_id, after_seq)
            read_at = -1
            while not self._stopping.is_set():
                version = channel.version
                found = [seen for commit in channel.after(after_seq, after_item) for seen in commit.seen]
                if not found and not channel.ends_at(after_seq, after_item, read_at):
                    found, read_at = await self._read(run_id, after_seq, after_item), version
                for seen in found:
                    after_seq, after_item = seen.seq, seen.item_number
                    if seen.event is not None and not isinstance(seen.event, h.LateResultDiscarded):
                        ended = isinstance(seen.event, LAST)
                    yield seen
                if not found:
                    if ended:
                        return
                    await channel.newer_than(version)

    def keeping(self, run_id: str) -> "_Keeping":
        """`with`: what the run commits meanwhile is kept in memory, as far as a channel holds it."""
        return _Keeping(self.channels, run_id)

    def events(self, run_id: str) -> list[h.AnyEvent] | None:
        """The whole history of a run, if somebody has kept all of it since its creation; else None."""
        channel = self.channels.get(run_id)
        commits = channel.after(0, 0) if channel is not None else []
        return [event for commit in commits for event in commit.events] or None

    async def _ended_at(self, run_id: str, seq: int) -> bool:
        """Whether the run stood still after this event: late results may follow an end."""
        while found := await self._store.events(run_id, seq - 1, 1) if seq else []:
            if not isinstance(found[0], h.LateResultDiscarded):
                return isinstance(found[0], LAST)
            seq -= 1
        return False

    async def _at_most_last(self, run_id: str, seq: int) -> int:
        """A point that a run has reached: whoever names one beyond its end would wait for ever."""
        if not seq or await self._store.events(run_id, seq - 1, 1):
            return seq
        loaded = await self._store.load([run_id], after_seq=seq)
        return min(seq, loaded[0].seq) if loaded else seq

    async def _read(self, run_id: str, after_seq: int, after_item: int) -> list[Seen]:
        """A page of the record. The two logs are merged by time; each keeps its own order."""
        events = await self._store.events(run_id, after_seq, PAGE)
        items = await self._store.stream(run_id, after_item, PAGE)
        return _seen(after_seq, after_item, events, items)


def _seen(seq: int, number: int, events: list[h.AnyEvent], items: list[StreamItem]) -> list[Seen]:
    """Events and items as watchers see them, merged by time; each carries the point that follows it."""
    found: list[Seen] = []
    waiting = deque(items)
    for event in events:
        while waiting and waiting[0].at < event.at:
            number += 1
            found.append(Seen(seq=seq, item_number=number, item=_numbered(waiting.popleft(), number)))
        seq += 1
        found.append(Seen(seq=seq, item_number=number, event=event))
    for item in waiting:
        number += 1
        found.append(Seen(seq=seq, item_number=number, item=_numbered(item, number)))
    return found


def _numbered(item: StreamItem, number: int) -> StreamItem:
    return item if item.n == number else msgspec.structs.replace(item, n=number)
