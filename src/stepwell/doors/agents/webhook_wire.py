"""The shapes of webhook endpoints and deliveries in JSON."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stepwell.doors.agents.envelope import ListMeta
from stepwell.doors.kit import OffsetPage, instant
from stepwell.store.model import Delivery, DeliveryAttempt
from stepwell.webhooks import CALLBACKS, Endpoint, EndpointChange

EventPattern = Literal[
    "*",
    "workflow.run.*",
    "workflow.run.started",
    "workflow.run.paused",
    "workflow.run.resumed",
    "workflow.run.waiting_approval",
    "workflow.run.completed",
    "workflow.run.failed",
    "workflow.run.cancelled",
    "workflow.run.retried",
    "workflow.step.*",
    "workflow.step.started",
    "workflow.step.completed",
    "workflow.step.failed",
    "workflow.step.retrying",
    "workflow.approval.*",
    "workflow.approval.requested",
    "workflow.approval.approved",
    "workflow.approval.rejected",
    "workflow.approval.expired",
]
"""The types of `stepwell.webhooks.types`, and the patterns for them."""
DeliveryStatus = Literal["pending", "delivered", "failed"]

Url = Annotated[str, Meta(max_length=2048, description="https, and an address of the public Internet")]
Events = Annotated[list[EventPattern], Meta(min_length=1, description="what to tell of")]
Secret = Annotated[str, Meta(description="whsec_ and the base64 of 24 to 64 bytes; without it one is made")]
Description = Annotated[str, Meta(max_length=500)]


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to send what."""

    url: Url
    events: Events
    secret: Secret = ""
    description: Description = ""


class EditWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RotateSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to change the secret."""

    secret: Secret = ""
    overlap_seconds: Annotated[float, Meta(ge=0, le=604_800, description="how long the secret before signs too")] = (
        86_400.0
    )


class WebhookView(msgspec.Struct, kw_only=True):
    """An endpoint. `disabled_reason`: owner, gone (it answered 410) or failing (it took nothing for days).

    `url` is null for `callbacks`, the addresses that runs are given.
    """

    id: str
    url: str | None
    events: list[EventPattern]
    description: str
    enabled: bool
    disabled_reason: Literal["owner", "gone", "failing"] | None
    disabled_at: str | None
    created_at: str
    inserted_at: str


class WebhookWithSecret(WebhookView, kw_only=True):
    """An endpoint with its secret, which is shown once."""

    secret: str


class WebhookList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of endpoints."""

    data: list[WebhookView]
    meta: ListMeta


class DeliveriesQuery(OffsetPage, frozen=True, kw_only=True):
    """Which deliveries."""

    status: DeliveryStatus | None = None


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One try: the status of the answer (null: none came), and why it was no success."""

    at: str
    response_status: int | None
    error: str | None
    duration_ms: int


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one endpoint. `webhook_id` is its id at the receiver; `payload` the body that is signed."""

    id: str
    webhook_id: str
    type: str
    status: DeliveryStatus
    run_id: str | None
    url: str | None
    payload: Any
    attempts: list[AttemptView]
    next_attempt_at: str | None
    created_at: str


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries."""

    data: list[DeliveryView]
    meta: ListMeta


def change_of(body: EditWebhook) -> EndpointChange:
    events = body.events if body.events is UNSET else tuple(body.events)
    return EndpointChange(url=body.url, events=events, description=body.description, enabled=body.enabled)


def view(endpoint: Endpoint) -> WebhookView:
    return WebhookView(**_fields(endpoint))


def with_secret(endpoint: Endpoint) -> WebhookWithSecret:
    return WebhookWithSecret(**_fields(endpoint), secret=endpoint.secret)


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    created_at = instant(endpoint.created_at)
    return {
        "id": endpoint.id if endpoint.url else CALLBACKS,
        "url": endpoint.url or None,
        "events": list(endpoint.events),
        "description": endpoint.description,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason or None,
        "disabled_at": instant(endpoint.disabled_at),
        "created_at": created_at,
        "inserted_at": created_at,
    }


def delivery_view(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        webhook_id=delivery.message,
        type=delivery.type,
        status=msgspec.convert(delivery.status, DeliveryStatus),
        run_id=delivery.run_id or None,
        url=delivery.url or None,
        payload=msgspec.Raw(delivery.body.encode()),
        attempts=[_attempt(attempt) for attempt in delivery.attempts],
        next_attempt_at=instant(delivery.due_at),
        created_at=instant(delivery.created_at),
    )


def _attempt(attempt: DeliveryAttempt) -> AttemptView:
    return AttemptView(
        at=instant(attempt.at),
        response_status=attempt.status or None,
        error=attempt.error or None,
        duration_ms=round(attempt.took_s * 1000),
    )
