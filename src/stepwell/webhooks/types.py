"""The types of webhooks, and the patterns by which an endpoint asks for them."""

from collections.abc import Iterable
from typing import Final

from stepwell.webhooks.errors import InvalidFieldError

RUN: Final = "workflow.run."
STEP: Final = "workflow.step."
APPROVAL: Final = "workflow.approval."
ENDED: Final = (f"{RUN}completed", f"{RUN}failed", f"{RUN}cancelled")
"""What a run's own callback address is told."""
TEST: Final = "webhook.test"
"""Sent on request only, whatever an endpoint asks for."""

TYPES: Final = (
    *(f"{RUN}{what}" for what in ("started", "paused", "resumed", "waiting_approval", "retried")),
    *ENDED,
    *(f"{STEP}{what}" for what in ("started", "completed", "failed", "retrying")),
    *(f"{APPROVAL}{what}" for what in ("requested", "approved", "rejected", "expired")),
)
PATTERNS: Final = ("*", f"{RUN}*", f"{STEP}*", f"{APPROVAL}*")


def expand(patterns: Iterable[str]) -> frozenset[str]:
    """The types that patterns stand for: a type stands for itself, `workflow.run.*` for all that begin like it.

    Raises `InvalidFieldError` for what is neither, and when there is none.
    """
    found: set[str] = set()
    for pattern in patterns:
        if pattern not in TYPES and pattern not in PATTERNS:
            known = ", ".join((*TYPES, *PATTERNS))
            raise InvalidFieldError("events", f"expected one of {known}; found {pattern!r}")
        found.update(kind for kind in TYPES if kind == pattern or _covers(pattern, kind))
    if not found:
        raise InvalidFieldError("events", "expected at least one type, found none")
    return frozenset(found)


def _covers(pattern: str, kind: str) -> bool:
    return pattern.endswith("*") and kind.startswith(pattern[:-1])
