"""The server's side of the frames that `worker.py` describes."""

from collections.abc import Iterator

import msgspec

from stepwell.programs.jq.worker import (
    FAILED,
    MALFORMED,
    NO_MEMORY,
    NOTHING,
    READY,
    REPLY,
    REQUEST,
    RETIRES,
    TOO_LARGE,
    VALUE,
)

__all__ = [
    "FAILED",
    "MALFORMED",
    "NOTHING",
    "NO_MEMORY",
    "READY",
    "TOO_LARGE",
    "VALUE",
    "Replies",
    "Reply",
    "request",
]

_MAX_PAYLOAD_BYTES = 1 << 30
"""More than any worker may have; a size beyond it means that the stream is not what it should be."""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What a worker made of a request. After one that `retires`, it reads no more requests."""

    kind: int
    took_us: int
    payload: bytes
    retires: bool


def request(source: bytes, text: bytes) -> tuple[bytes, bytes, bytes]:
    """The parts of one request. Several may follow each other; without a source it is that of the one before."""
    return REQUEST.pack(len(source), len(text)), source, text


class Replies:
    """Pieces of a stream in, replies out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that are whole now. Raises `ValueError` when this is no stream of replies."""
        if self._rest:
            self._rest += data
        whole = self._rest or data
        start, length = 0, len(whole)
        while (begin := start + REPLY.size) <= length:
            kind, took_us, size = REPLY.unpack_from(whole, start)
            if size > _MAX_PAYLOAD_BYTES:
                raise ValueError(f"expected a reply, found one of {size} bytes")
            if begin + size > length:
                break
            start = begin + size
            yield Reply(kind & ~RETIRES, took_us, bytes(whole[begin:start]), kind >= RETIRES)
        if whole is self._rest:
            del self._rest[:start]
        elif start < length:
            self._rest += data[start:]
