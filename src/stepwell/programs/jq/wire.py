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
    """What a worker made of the request of this number. After one that `retires`, it reads no more requests."""

    number: int
    kind: int
    payload: bytes
    retires: bool


def request(number: int, source: bytes, text: bytes) -> bytes:
    """One request. Several may follow each other in one write."""
    return REQUEST.pack(number, len(source), len(text)) + source + text


class Replies:
    """Pieces of a stream in, replies out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that are whole now. Raises `ValueError` when this is no stream of replies."""
        if self._rest:
            self._rest += data
        whole = self._rest or data
        start = 0
        while (found := _reply(whole, start)) is not None:
            reply, start = found
            yield reply
        if whole is self._rest:
            del self._rest[:start]
        elif start < len(data):
            self._rest += data[start:]


def _reply(data: bytes | bytearray, start: int) -> tuple[Reply, int] | None:
    """The reply at `start` and where the next one begins; None when it is not whole."""
    begin = start + REPLY.size
    if len(data) < begin:
        return None
    number, kind, size = REPLY.unpack_from(data, start)
    if size > _MAX_PAYLOAD_BYTES:
        raise ValueError(f"expected a reply, found one of {size} bytes")
    end = begin + size
    if len(data) < end:
        return None
    return Reply(number, kind & ~RETIRES, bytes(data[begin:end]), bool(kind & RETIRES)), end
