"""A service on loopback: what runs call, and what is told of them. Whatever a client gives up on is no fault here."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request. Names of headers in small letters; `text` is the body as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    text: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.text else None


class LocalService:
    """Answers with a status and JSON, as `answer` says; it is called from many threads."""

    def __init__(self, answer: Callable[[Asked], tuple[int, Any]]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(answer: Callable[[Asked], tuple[int, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def _answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            text = self.rfile.read(int(headers.get("content-length", 0)))
            status, body = answer(Asked(self.command, self.path, headers, text))
            data = json.dumps(body).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:
                pass  # the caller was killed while it waited: that is what the demo is about

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler
