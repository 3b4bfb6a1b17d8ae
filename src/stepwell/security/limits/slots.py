"""How many things one principal may hold open at once: streams, above all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from stepwell.core.principal import Principal
from stepwell.security.refusals import AccessError, Reason


class Slots:
    """At most `limit` held at once per owner; the local principal has no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, principal: Principal) -> Iterator[None]:
        """One slot for as long as the block lasts. Raises `AccessError` (`rate_limited`) when all are held."""
        owner = f"{principal.type}:{principal.owner}"
        if principal.type != "local" and self._held[owner] >= self._limit:
            raise AccessError(Reason.RATE_LIMITED, f"more than {self._limit} streams at once", retry_after_s=1)
        self._held[owner] += 1
        try:
            yield
        finally:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
