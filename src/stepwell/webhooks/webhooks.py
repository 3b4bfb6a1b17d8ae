"""`Webhooks`: endpoints added, changed and removed, their deliveries read and sent again. What doors see.

Every method takes `owner`: None for who sees everybody's. Another owner's endpoint does not exist.
"""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import uuid4

import msgspec
import structlog

from stepwell.core.errors import RefusedError
from stepwell.programs.http import HttpClient
from stepwell.store.model import Delivery, DeliveryQuery
from stepwell.store.port import Store
from stepwell.webhooks import endpoints
from stepwell.webhooks.delivering import DeliverWebhooks
from stepwell.webhooks.endpoints import (
    KIND,
    MAX_ENDPOINTS,
    OVERLAP_S,
    Endpoint,
    EndpointChange,
    is_callbacks,
    kind_of,
)
from stepwell.webhooks.errors import EndpointNotFoundError
from stepwell.webhooks.messages import Links, make_message
from stepwell.webhooks.subscriptions import Subscriptions, delivery_of
from stepwell.webhooks.types import TEST

log = structlog.get_logger()

ALL: Final = 100_000
"""More endpoints than a server has."""
DROP_PAGE: Final = 5_000
TEST_AGAIN_S: Final = 60.0


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`keep_s`, `keep`: how long ended deliveries are kept, and how many of each endpoint and status."""

    links: Links = Links()
    keep_s: float = 30 * 86_400.0
    keep: int = 10_000


class Webhooks:
    """`check_url` raises a `ValueError` for addresses that may not be called; `http` must refuse them too, since what
    a name stands for can change.
    """

    def __init__(
        self,
        store: Store,
        http: HttpClient,
        *,
        check_url: Callable[[str], None],
        now: Callable[[], float],
        settings: WebhookSettings | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        settings = settings if settings is not None else WebhookSettings()
        self.subscriptions = Subscriptions(settings.links)
        self._store = store
        self._check_url = check_url
        self._now = now
        self._known: dict[str, Endpoint] = {}
        self.duty = DeliverWebhooks(
            store, http, self, now=now, keep_s=settings.keep_s, keep=settings.keep, chance=chance
        )

    async def refresh(self) -> None:
        """Read the endpoints: at the beginning, and when another process wrote to the store."""
        records = await self._store.get_records(KIND, limit=ALL)
        self._known = {record.id: endpoints.from_record(record) for record in records}
        self.subscriptions.set(self._known.values())

    def check_callback_url(self, url: str) -> str:
        """An address that a run is given. Raises `InvalidFieldError`."""
        endpoints.check_address("callback_url", url, self._check_url)
        return url

    # --- endpoints --------------------------------------------------------------------------------------------------

    async def add(
        self, *, owner: str, url: str, events: Sequence[str], secret: str = "", description: str = ""
    ) -> Endpoint:
        """A new endpoint; without a `secret` it gets one. Raises `InvalidFieldError`."""
        now = self._now()
        endpoint = endpoints.new_endpoint(
            str(uuid4()), owner, url, tuple(events), secret=secret, description=description, now=now
        )
        endpoints.check(endpoint, self._check_url)
        if len(self.listed(owner)) >= MAX_ENDPOINTS:
            raise RefusedError(
                "too_many", f"expected at most {MAX_ENDPOINTS} endpoints of one owner, found as many already"
            )
        await self._store.put_record(endpoints.to_record(endpoint, 1), expect_version=0)
        await self.refresh()
        return endpoint

    def listed(self, owner: str | None) -> list[Endpoint]:
        """The endpoints of an owner, oldest first."""
        seen = (one for one in self._known.values() if owner in (None, one.owner))
        return sorted(seen, key=lambda one: (one.created_at, one.id))

    async def get(self, owner: str | None, id: str) -> Endpoint:
        """The endpoint with an id, or the one of `callbacks_id(owner)`. Raises `EndpointNotFoundError`."""
        endpoint = await self.find(id)
        if endpoint is None or owner not in (None, endpoint.owner):
            raise EndpointNotFoundError(id)
        return endpoint

    async def change(self, owner: str | None, id: str, change: EndpointChange) -> Endpoint:
        """Raises `EndpointNotFoundError`, `InvalidFieldError`. Switched off, it gives its pending deliveries up."""

        def replace(endpoint: Endpoint) -> Endpoint:
            changed = endpoints.changed(endpoint, change, self._now())
            endpoints.check(changed, self._check_url)
            return changed

        return await self._replace(owner, _own(id), replace)

    async def rotate_secret(
        self, owner: str | None, id: str, *, secret: str = "", overlap_s: float = OVERLAP_S
    ) -> Endpoint:
        """Another secret; for `overlap_s` both sign. Raises `EndpointNotFoundError`, `InvalidFieldError`."""
        return await self._replace(
            owner, id, lambda one: endpoints.rotated(one, secret=secret, overlap_s=overlap_s, now=self._now())
        )

    async def remove(self, owner: str | None, id: str) -> None:
        """The endpoint and its deliveries. Raises `EndpointNotFoundError`."""
        endpoint = await self.get(owner, _own(id))
        await self._store.drop_record(KIND, endpoint.id)
        await self.refresh()
        while await self._store.drop_deliveries(endpoint.id, DROP_PAGE):
            pass

    async def _replace(self, owner: str | None, id: str, replace: Callable[[Endpoint], Endpoint]) -> Endpoint:
        """Only over what was read: somebody else may change it at the same time."""
        id = (await self.get(owner, id)).id
        while True:
            records = await self._store.get_records(kind_of(id), id=id)
            if not records:
                raise EndpointNotFoundError(id)
            endpoint = replace(endpoints.from_record(records[0]))
            version = records[0].version
            if await self._store.put_record(endpoints.to_record(endpoint, version + 1), expect_version=version):
                await self.refresh()
                return endpoint

    # --- deliveries -------------------------------------------------------------------------------------------------

    async def test(self, owner: str | None, id: str) -> Delivery:
        """Send a test message, once, and say what came of it. Raises `EndpointNotFoundError`."""
        endpoint = await self.get(owner, _own(id))
        now = self._now()
        message = make_message(uuid4(), TEST, now, {"endpoint_id": endpoint.id})
        # Due when this request is long over, for the case that the process dies in between.
        delivery = msgspec.structs.replace(delivery_of(message, endpoint.id, now), due_at=now + TEST_AGAIN_S)
        await self._store.put_delivery(delivery)
        return await self.duty.send_now(delivery, endpoint)

    async def deliveries(
        self, owner: str | None, id: str, *, status: str | None = None, before: int | None = None,
        offset: int = 0, limit: int = 20,
    ) -> list[Delivery]:  # fmt: skip
        """One page, newest first. Raises `EndpointNotFoundError`."""
        endpoint = await self.get(owner, id)
        query = DeliveryQuery(endpoint=endpoint.id, status=status, before=before, offset=offset, limit=limit)
        return await self._store.list_deliveries(query)

    async def count_deliveries(self, owner: str | None, id: str, *, status: str | None = None, at_most: int) -> int:
        """Counted up to `at_most`. Raises `EndpointNotFoundError`."""
        endpoint = await self.get(owner, id)
        return await self._store.count_deliveries(DeliveryQuery(endpoint=endpoint.id, status=status), at_most)

    async def redeliver(self, owner: str | None, id: str, delivery_id: str) -> Delivery:
        """Send a delivery again from the first try on, with the same `webhook-id`; also one that was taken.

        Raises `EndpointNotFoundError`, and `RefusedError` (`not_found`, `disabled`, `pending`).
        """
        endpoint = await self.get(owner, id)
        found = await self._store.list_deliveries(DeliveryQuery(endpoint=endpoint.id, id=delivery_id))
        if not found:
            raise RefusedError("not_found", f"there is no delivery {delivery_id}")
        if not endpoint.enabled:
            raise RefusedError("disabled", "the endpoint is switched off: switch it on first")
        if found[0].status == "pending":
            raise RefusedError("pending", "the delivery is pending: it is tried again by itself")
        again = msgspec.structs.replace(found[0], status="pending", due_at=self._now(), tries=0)
        await self._store.settle_deliveries([again])
        self.duty.nudge()
        return again

    # --- for the duty -----------------------------------------------------------------------------------------------

    async def find(self, id: str) -> Endpoint | None:
        """The endpoint with this id; that of an owner's callbacks is made when it is first needed."""
        if not is_callbacks(id):
            return self._known.get(id)
        while not (records := await self._store.get_records(kind_of(id), id=id)):
            made = endpoints.callbacks_of(id.partition(":")[2], self._now())
            await self._store.put_record(endpoints.to_record(made, 1), expect_version=0)
        return endpoints.from_record(records[0])

    async def disable(self, endpoint: Endpoint, reason: str) -> None:
        """Switch it off, unless its owner removed it meanwhile."""

        def switched_off(found: Endpoint) -> Endpoint:
            return msgspec.structs.replace(found, enabled=False, disabled_at=self._now(), disabled_reason=reason)

        try:
            await self._replace(None, endpoint.id, switched_off)
        except EndpointNotFoundError:
            log.info("webhook.endpoint_removed", endpoint=endpoint.id)


def _own(id: str) -> str:
    """An id that is not that of the callbacks, which is no address and always there."""
    if is_callbacks(id):
        raise EndpointNotFoundError(id)
    return id
