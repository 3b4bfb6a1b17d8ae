"""`/api/v1/webhooks`: endpoints that are told of runs, and what became of each delivery.

The id `callbacks` stands for the addresses that runs are given (`callback_url`): it has a secret and deliveries.
"""

from typing import Final

from stepwell.doors.agents.api import api
from stepwell.doors.agents.template_wire import pagination
from stepwell.doors.agents.webhook_wire import (
    DeliveriesQuery,
    DeliveryList,
    DeliveryView,
    EditWebhook,
    NewWebhook,
    RotateSecret,
    WebhookList,
    WebhookView,
    WebhookWithSecret,
    change_of,
    delivery_view,
    view,
    with_secret,
)
from stepwell.doors.kit import Answer, Call, Cursor, Found, OffsetPage, Reply
from stepwell.webhooks import CALLBACKS, Webhooks, callbacks_id

PATH: Final = "/api/v1/webhooks"
ONE: Final = f"{PATH}/{{id}}"
COUNTED: Final = 10_000
"""Deliveries are counted up to here; more than this and the pending ones are not kept for long."""

_UNKNOWN: Final = {404: "there is no such endpoint, or it is somebody else's"}
_INVALID: Final = {422: "`details` names each field that is wrong; of a URL that may not be called, why"}


@api.get(PATH, summary="List webhook endpoints", answers={200: Answer(type=WebhookList)})
async def list_webhooks(call: Call, query: OffsetPage) -> Reply:
    """Oldest first, without their secrets."""
    known = _webhooks(call).listed(call.principal.sees)
    start = query.start.offset
    page = [view(endpoint) for endpoint in known[start : start + query.limit]]
    more = start + len(page) < len(known)
    found = Found(items=page, total=len(known), next=Cursor(offset=start + len(page)) if more else None)
    return Reply(body=WebhookList(data=page, meta=pagination(found)))


@api.post(
    PATH,
    summary="Add a webhook endpoint",
    answers={201: Answer(type=WebhookWithSecret, headers={"Location": "the path of the endpoint"})},
    fails={**_INVALID, 409: "there are too many already"},
)
async def add_webhook(call: Call, body: NewWebhook) -> Reply:
    """It is told of the caller's runs from now on. The secret is shown here and never again."""
    endpoint = await _webhooks(call).add(
        owner=call.principal.owner,
        url=body.url,
        events=body.events,
        secret=body.secret,
        description=body.description,
    )
    return Reply(status=201, body=with_secret(endpoint), headers={"Location": f"{PATH}/{endpoint.id}"})


@api.get(ONE, summary="Get a webhook endpoint", answers={200: Answer(type=WebhookView)}, fails=_UNKNOWN)
async def get_webhook(call: Call) -> Reply:
    """Without its secret."""
    return Reply(body=view(await _webhooks(call).get(call.principal.sees, _id(call))))


@api.patch(
    ONE, summary="Change a webhook endpoint", answers={200: Answer(type=WebhookView)}, fails={**_UNKNOWN, **_INVALID}
)
async def change_webhook(call: Call, body: EditWebhook) -> Reply:
    """What is not given stays. Switched off, it gives up what it had not taken; switched on, it begins anew."""
    changed = await _webhooks(call).change(call.principal.sees, _id(call), change_of(body))
    return Reply(body=view(changed))


@api.delete(ONE, summary="Remove a webhook endpoint", answers={204: Answer(meaning="removed")}, fails=_UNKNOWN)
async def remove_webhook(call: Call) -> Reply:
    """With all of its deliveries."""
    await _webhooks(call).remove(call.principal.sees, _id(call))
    return Reply(status=204)


@api.post(f"{ONE}/test", summary="Send a test message", answers={200: Answer(type=DeliveryView)}, fails=_UNKNOWN)
async def test_webhook(call: Call) -> Reply:
    """Sent at once, and once only; the answer says what came of it."""
    return Reply(body=delivery_view(await _webhooks(call).test(call.principal.sees, _id(call))))


@api.post(
    f"{ONE}/rotate-secret",
    summary="Give an endpoint another secret",
    answers={200: Answer(type=WebhookWithSecret)},
    fails={**_UNKNOWN, **_INVALID},
)
async def rotate_secret(call: Call, body: RotateSecret) -> Reply:
    """For `overlap_seconds` both secrets sign, so that a receiver can change over. The new one is shown here only."""
    rotated = await _webhooks(call).rotate_secret(
        call.principal.sees, _id(call), secret=body.secret, overlap_s=body.overlap_seconds
    )
    return Reply(body=with_secret(rotated))


@api.get(
    f"{ONE}/deliveries", summary="List an endpoint's deliveries", answers={200: Answer(type=DeliveryList)},
    fails=_UNKNOWN,
)  # fmt: skip
async def list_deliveries(call: Call, query: DeliveriesQuery) -> Reply:
    """Newest first. Ended ones are kept for a while; `failed` ones are dead letters: nothing is tried any more."""
    webhooks, sees, id = _webhooks(call), call.principal.sees, _id(call)
    start = query.start
    before = _number(start.before)
    found = await webhooks.deliveries(
        sees, id, status=query.status, before=before, offset=start.offset, limit=query.limit + 1
    )
    total = await webhooks.count_deliveries(sees, id, status=query.status, at_most=COUNTED)
    page = found[: query.limit]
    next = Cursor(before=str(page[-1].number)) if len(found) > len(page) else None
    items = [delivery_view(delivery) for delivery in page]
    return Reply(body=DeliveryList(data=items, meta=pagination(Found(items=items, total=total, next=next))))


@api.post(
    f"{ONE}/deliveries/{{delivery_id}}/redeliver",
    summary="Send a delivery again",
    answers={202: Answer(type=DeliveryView)},
    fails={404: "there is no such delivery", 409: "it is pending, or the endpoint is switched off"},
)
async def redeliver(call: Call) -> Reply:
    """Also one that was taken. It keeps its `webhook-id`, so that a receiver can tell."""
    delivery_id = call.id("delivery_id", "delivery")
    again = await _webhooks(call).redeliver(call.principal.sees, _id(call), delivery_id)
    return Reply(status=202, body=delivery_view(again))


def _webhooks(call: Call) -> Webhooks:
    webhooks = call.engine.webhooks
    assert webhooks is not None, "the server's engine has webhooks"
    return webhooks


def _id(call: Call) -> str:
    """The endpoint of the path. Raises `MissingError`."""
    return callbacks_id(call.principal.owner) if call.path("id") == CALLBACKS else call.id("id", "webhook endpoint")


def _number(before: str | None) -> int | None:
    """A delivery's number out of a cursor; one that is none begins at the end of the list."""
    if before is None:
        return None
    return int(before) if before.isascii() and before.isdigit() and len(before) < 19 else 0
