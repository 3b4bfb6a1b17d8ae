"""The size of headers while they come: uvicorn's parser (httptools) would gather them for ever.

Middleware sees a request only when its headers are complete, so this one bound stands in the protocol itself. For
`uvicorn.Config(http=...)`, with `ws=` as it is.
"""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES: Final = 64 * 1024
"""Above what `SizeLimits` allows, so that a request which is only a little too large gets its door's answer."""
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 22\r\nconnection: close\r\n\r\nthe headers are large\n"
)


class BoundedHeaders(HttpToolsProtocol):
    """Closes a connection whose request line and headers come to more than `MAX_BYTES`."""

    _in_headers = False
    _ended = False
    """Whether a message ended in the chunk at hand: then most of it may be that one's body."""
    _gathered = 0

    def on_message_begin(self) -> None:
        self._in_headers, self._gathered = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._ended = True
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """What a chunk leaves unfinished is counted: complete headers end the count, whatever follows them."""
        self._ended = False
        super().data_received(data)
        if self._in_headers and not self._ended and not self.transport.is_closing():
            self._gathered += len(data)
            if self._gathered > MAX_BYTES:
                self.transport.write(_ANSWER)
                self.transport.close()
