"""The services around the shop, as one HTTP server on loopback: customers, stock, shipments.

Stock is what a remote service is like: it can be busy, it can be slow, and it does not reserve twice for the same
`Idempotency-Key`.
"""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUSY_TIMES = 2
HOLD_S = 30.0


class Services:
    """What the services know and have seen. `slow_sku` is answered only when `go_on` is set; then `reached` is."""

    def __init__(self, *, slow_sku: str, busy_sku: str) -> None:
        self.slow_sku = slow_sku
        self.busy_sku = busy_sku
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.asked: Counter[str] = Counter()
        self.reserved: dict[str, str] = {}
        """Idempotency key to the sku that was reserved under it."""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def answer(self, path: str, key: str, body: Any) -> tuple[int, Any]:
        """Status and body of an answer."""
        if path != "/stock":
            self.asked[path] += 1
            return 200, {"name": "Ann"} if path == "/customer" else {"shipment": "S-1", "total": body["total"]}
        sku = str(body["sku"])
        with self._lock:
            self.asked[sku] += 1
            if sku == self.busy_sku and self.asked[sku] <= BUSY_TIMES:
                return 503, {"detail": "stock is busy"}
            self.reserved.setdefault(key, sku)
        if sku == self.slow_sku:
            self.reached.set()
            self.go_on.wait(HOLD_S)
        return 200, {"sku": sku, "reserved": body["quantity"]}

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(*services.answer(self.path, "", None))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._reply(*services.answer(self.path, self.headers.get("Idempotency-Key", ""), body))

            def _reply(self, status: int, body: Any) -> None:
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
