"""Endpoints: where an owner's webhooks go, which types of them, and the secrets they are signed with.

They are few and live in the store's small records, all of them in memory too. Every owner also has one that is no
address and not listed: it stands for the callback addresses that runs are given, and has a secret and deliveries like
any other.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from stepwell.store.model import Record
from stepwell.webhooks.errors import InvalidFieldError
from stepwell.webhooks.signing import check_secret, new_secret
from stepwell.webhooks.types import expand

KIND: Final = "webhook"
CALLBACKS: Final = "callbacks"
MAX_ENDPOINTS: Final = 100
MAX_URL: Final = 2_048
MAX_DESCRIPTION: Final = 500
OVERLAP_S: Final = 86_400.0
LONGEST_OVERLAP_S: Final = 7 * 86_400.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`events` are types and patterns. `old_secret` signs too, until `old_until`. Instants: seconds since the epoch.

    `disabled_reason` says who switched it off: `owner`, `gone` (it answered 410) or `failing` (no success for days).
    """

    id: str
    owner: str
    url: str
    events: tuple[str, ...]
    secret: str
    created_at: float
    description: str = ""
    enabled: bool = True
    disabled_at: float | None = None
    disabled_reason: str = ""
    old_secret: str = ""
    old_until: float = 0.0

    def secrets(self, now: float) -> list[str]:
        """Those that sign now, the current one first."""
        return [self.secret, self.old_secret] if self.old_secret and now < self.old_until else [self.secret]


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What of an endpoint is to be another; what is not given stays."""

    url: str | UnsetType = UNSET
    events: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


def new_endpoint(
    id: str, owner: str, url: str, events: tuple[str, ...], *, secret: str, description: str, now: float
) -> Endpoint:
    """An endpoint that was not checked yet; without a secret it gets a fresh one. Raises `InvalidFieldError`."""
    return Endpoint(
        id=id,
        owner=owner,
        url=url,
        events=events,
        secret=check_secret(secret) if secret else new_secret(),
        created_at=now,
        description=description,
    )


def callbacks_of(owner: str, now: float) -> Endpoint:
    """The endpoint that stands for the addresses of an owner's runs."""
    return Endpoint(id=callbacks_id(owner), owner=owner, url="", events=(), secret=new_secret(), created_at=now)


def callbacks_id(owner: str) -> str:
    """The id of an owner's endpoint for callback addresses."""
    return f"{CALLBACKS}:{owner}"


def is_callbacks(endpoint: str) -> bool:
    return endpoint.startswith(f"{CALLBACKS}:")


def changed(endpoint: Endpoint, change: EndpointChange, now: float) -> Endpoint:
    """The endpoint after a change by its owner."""
    given: dict[str, Any] = {
        name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not UNSET
    }
    enabled = given.get("enabled", endpoint.enabled)
    if enabled != endpoint.enabled:
        given["disabled_at"], given["disabled_reason"] = (None, "") if enabled else (now, "owner")
    return msgspec.structs.replace(endpoint, **given)


def rotated(endpoint: Endpoint, *, secret: str, overlap_s: float, now: float) -> Endpoint:
    """The endpoint with another secret; the one before signs too for `overlap_s`. Raises `InvalidFieldError`."""
    if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
        raise InvalidFieldError(
            "overlap_seconds", f"expected a number from 0 to {LONGEST_OVERLAP_S:g}, found {overlap_s:g}"
        )
    return msgspec.structs.replace(
        endpoint,
        secret=check_secret(secret) if secret else new_secret(),
        old_secret=endpoint.secret,
        old_until=now + overlap_s,
    )


def check(endpoint: Endpoint, check_url: Callable[[str], None]) -> None:
    """Raises `InvalidFieldError` that names the field; `check_url` raises it for an address that is not called."""
    expand(endpoint.events)
    check_address("url", endpoint.url, check_url)
    if len(endpoint.description) > MAX_DESCRIPTION:
        raise InvalidFieldError(
            "description", f"expected at most {MAX_DESCRIPTION} characters, found {len(endpoint.description)}"
        )


def check_address(field: str, url: str, check_url: Callable[[str], None]) -> None:
    """That an address may be called. Raises `InvalidFieldError` that names the field."""
    if len(url) > MAX_URL:
        raise InvalidFieldError(field, f"expected at most {MAX_URL} characters, found {len(url)}")
    try:
        check_url(url)
    except ValueError as fault:  # the egress guard's refusals are
        raise InvalidFieldError(field, str(fault)) from None


def to_record(endpoint: Endpoint, version: int) -> Record:
    return Record(
        kind=kind_of(endpoint.id),
        id=endpoint.id,
        owner=endpoint.owner,
        version=version,
        data=msgspec.to_builtins(endpoint),
    )


def kind_of(id: str) -> str:
    """The kind of record that an endpoint is kept as."""
    return f"{KIND}_{CALLBACKS}" if is_callbacks(id) else KIND


def from_record(record: Record) -> Endpoint:
    return msgspec.convert(record.data, Endpoint)
