"""A multipart body (RFC 7578) as a series of small values: a part begins, some of its data, the part ends.

Nothing is kept but the header being read: what the data is for decides whoever takes it.
"""

import re
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from stepwell.doors.kit import Fault, InvalidRequestError

MULTIPART: Final = "multipart/form-data"
SHORT: Final = 128
"""Bytes of a header that is worth keeping."""
_PLAIN: Final = re.compile(r"multipart/form-data; ?boundary=([A-Za-z0-9_-]+)")
"""As nearly all clients write it, each time with another boundary."""
_parsed: Final = lru_cache(256)(parse_options_header)  # 30 us each, and the fields of a form have the same names


class PartBegins(msgspec.Struct, frozen=True):
    """`filename` is None unless the part is a file ("" for a file without a name)."""

    name: str
    filename: str | None
    content_type: str


class PartEnds(msgspec.Struct, frozen=True):
    """The part is complete."""


Piece = PartBegins | bytes | PartEnds


async def read_parts(request: Request) -> AsyncIterator[Piece]:
    """The parts of a body, as they come. Raises `InvalidRequestError` when it is none, or is cut off."""
    reader = _Reader(request.headers.get("content-type", ""))
    async for chunk in request.stream():
        for piece in reader.feed(chunk):
            yield piece
    reader.finish()


class _Reader:
    """Gathers what the parser calls back between two chunks."""

    def __init__(self, content_type: str) -> None:
        plain = _PLAIN.fullmatch(content_type)
        boundary = plain[1].encode() if plain else parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise _broken("its Content-Type names no boundary")
        self._pieces: list[Piece] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._ended = False
        callbacks: Any = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_begin,
            "on_part_data": self._on_data,
            "on_part_end": lambda: self._pieces.append(PartEnds()),
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as fault:
            raise _broken(str(fault)) from None

    def feed(self, chunk: bytes) -> list[Piece]:
        """What a chunk brings."""
        self._pieces = []
        try:
            self._parser.write(chunk)
        except FormParserError as fault:
            raise _broken(str(fault)) from None
        return self._pieces

    def finish(self) -> None:
        """The body is over: so the last boundary must have come."""
        if not self._ended:
            raise _broken("it ends before its last boundary")

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_begin(self) -> None:
        header = self._headers.get(b"content-disposition", b"")
        disposition, options = _parsed(header) if len(header) <= SHORT else parse_options_header(header)
        if disposition != b"form-data" or b"name" not in options:
            raise _broken("a part has no name")
        filename = options.get(b"filename")
        self._pieces.append(
            PartBegins(
                _text(options[b"name"]),
                None if filename is None else _text(filename),
                _text(self._headers.get(b"content-type", b"")),
            )
        )

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(bytes(data[start:end]))

    def _on_end(self) -> None:
        self._ended = True


def _text(value: bytes) -> str:
    """Browsers write `"`, CR and LF of names as %22, %0D and %0A (HTML, "Multipart form data")."""
    for code in (b"%22", b"%0D", b"%0A"):
        value = value.replace(code, unquote_to_bytes(code))
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _broken("a name or a file name is not UTF-8") from None


def _broken(why: str) -> InvalidRequestError:
    return InvalidRequestError([Fault(message=f"expected a {MULTIPART} body, found one that is broken: {why}")])
