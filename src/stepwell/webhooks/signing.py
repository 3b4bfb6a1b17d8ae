"""Signatures of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body` with a secret of the endpoint's own."""

import base64
import binascii
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from stepwell.webhooks.errors import InvalidFieldError

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
SHORTEST: Final = 24
LONGEST: Final = 64


def new_secret() -> str:
    """A fresh secret as the receiver gets it: `whsec_` and the base64 of random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_secret(secret: str) -> str:
    """A secret that its owner chose. Raises `InvalidFieldError`, which never repeats it."""
    expected = f"expected {PREFIX} and the base64 of {SHORTEST} to {LONGEST} bytes"
    if not secret.startswith(PREFIX):
        raise InvalidFieldError("secret", f"{expected}, found another text")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidFieldError("secret", f"{expected}, found no base64") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise InvalidFieldError("secret", f"{expected}, found {len(key)}")
    return secret


def signed_headers(message: str, body: str, *, at: float, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers of an attempt at instant `at`; one signature per secret that is good now."""
    stamp = int(at)
    moment = datetime.fromtimestamp(stamp, UTC)
    signatures = [Webhook(secret).sign(message, moment, body) for secret in secrets]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(stamp),
        "webhook-signature": " ".join(signatures),
    }
