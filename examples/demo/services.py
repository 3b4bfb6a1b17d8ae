"""The services around the shop: customers, stock, shipments.

Stock is what a remote service is like: it can be busy, it can be slow, and it does not reserve twice for the same
`Idempotency-Key`.
"""

import threading
from collections import Counter
from typing import Any

from local import Asked, LocalService

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
        self._service = LocalService(self._answer)
        self.url = self._service.url

    def close(self) -> None:
        self.go_on.set()
        self._service.close()

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/stock":
            return self._stock(asked.headers["idempotency-key"], asked.body)
        self.asked[asked.path] += 1
        if asked.path == "/customer":
            return 200, {"name": "Ann"}
        return 200, {"shipment": "S-1", "total": asked.body["total"]}

    def _stock(self, key: str, body: Any) -> tuple[int, Any]:
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
