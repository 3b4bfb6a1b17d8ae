"""The hash chain over a run's history: each event's hash covers the one before and the event's own bytes. Pure.

Off unless `audit_chain` is set. It makes tampering visible, it does not prevent it: who can write to the database and
has no key cannot make hashes that fit (`audit_key`); without a key anybody could compute them anew, so note the last
hash of a run somewhere else. A row of the history keeps the hash after its last event.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

HASH_NAME: Final = "sha256"
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


class ChainRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the history as it is stored: `count` events from `seq` on. `hash` is empty where the chain was off."""

    seq: int
    count: int
    events: bytes
    hash: bytes = b""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An event's hash and the one before it, as text: `sha256:` and hexadecimal digits."""

    prev_hash: str
    hash: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying a run found: `ok` when every event from `first` on fits, to the end.

    `first` is None when no event was chained. `at` is the first event that does not fit (its row's, which is what was
    committed with it), and `fault` says why. `hash` is the last one that fits.
    """

    run_id: str
    seq: int
    ok: bool
    first: int | None = None
    at: int | None = None
    fault: str = ""
    hash: str = ""


class Chain:
    """Makes hashes with `key` (empty: none)."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    def begin(self, run_id: str, seq: int) -> bytes:
        """What stands before the first event that is chained, which follows `seq`."""
        return self._hash(f"{run_id}/{seq}".encode())

    def extend(self, before: bytes, events: bytes) -> bytes:
        """The hash after the events of a row. Raises `msgspec.DecodeError` for what is no row."""
        return self.all(before, events)[-1]

    def all(self, before: bytes, events: bytes) -> list[bytes]:
        """`before`, and the hash after each event of a row."""
        found = [before]
        for event in _raws(events):
            found.append(self._hash(found[-1] + bytes(event)))
        return found

    def _hash(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, HASH_NAME) if self._key else hashlib.sha256(text).digest()


def text_of(hash: bytes) -> str:
    return f"{HASH_NAME}:{hash.hex()}" if hash else ""


def verify(chain: Chain, run_id: str, rows: Iterable[ChainRow], *, seq: int) -> Verified:
    """Whether the rows, oldest first, are what was committed; `seq` is the last one by the run's own row."""
    hash, first, last = b"", None, 0
    for row in rows:
        before = hash or chain.begin(run_id, last)
        fault = _fault(chain, row, before, last, chained=bool(hash))
        if fault:
            return Verified(
                run_id=run_id, seq=seq, ok=False, first=first, at=row.seq, fault=fault, hash=text_of(hash)
            )
        first = row.seq if row.hash and first is None else first
        hash, last = row.hash, row.seq + row.count - 1
    fault = "" if hash else "no event of it was chained"
    if last != seq:
        fault = f"the run says that its last event is {seq}"
    at = min(last, seq) + 1 if last != seq else None
    return Verified(run_id=run_id, seq=seq, ok=not fault, first=first, at=at, fault=fault, hash=text_of(hash))


def _fault(chain: Chain, row: ChainRow, before: bytes, last: int, *, chained: bool) -> str:
    if row.seq != last + 1:
        return f"event {last + 1} is missing"
    try:
        hashes = chain.all(before, row.events)
    except msgspec.DecodeError:
        return "the events cannot be read"
    if len(hashes) - 1 != row.count:
        return f"expected {row.count} events, found {len(hashes) - 1}"
    if not row.hash:
        return "the events are not chained, and those before are" if chained else ""
    return "" if hmac.compare_digest(row.hash, hashes[-1]) else "the hash does not fit the events"


def links(chain: Chain, run_id: str, rows: Sequence[ChainRow], after_seq: int) -> dict[int, Link]:
    """Seq to hashes of the chained events after `after_seq`. The row before the first one asked for comes along."""
    found: dict[int, Link] = {}
    before = b""
    for row in rows:
        if row.hash:
            hashes = chain.all(before or chain.begin(run_id, row.seq - 1), row.events)
            for seq, (prev, own) in enumerate(pairwise(hashes), row.seq):
                if seq > after_seq:
                    found[seq] = Link(prev_hash=text_of(prev), hash=text_of(own))
        before = row.hash
    return found
