"""Webhooks out: who is told of what happens to runs, over HTTP, in the manner of Standard Webhooks.

A delivery is written in the transaction that commits the events it tells of; a duty then sends it until it is taken.
"""

from stepwell.webhooks.endpoints import CALLBACKS, Endpoint, EndpointChange, callbacks_id
from stepwell.webhooks.errors import EndpointNotFoundError, InvalidFieldError
from stepwell.webhooks.messages import Links
from stepwell.webhooks.types import TYPES
from stepwell.webhooks.webhooks import Webhooks, WebhookSettings

__all__ = [
    "CALLBACKS",
    "TYPES",
    "Endpoint",
    "EndpointChange",
    "EndpointNotFoundError",
    "InvalidFieldError",
    "Links",
    "WebhookSettings",
    "Webhooks",
    "callbacks_id",
]
