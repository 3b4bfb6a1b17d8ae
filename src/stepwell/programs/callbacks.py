"""Tokens of callbacks: what a flow hands out so that somebody can complete a task of it later.

A token is `<run id>.<mac>`: the run id says where it belongs, the mac (HMAC-SHA256 with a secret of the server over
run and nonce) makes it unguessable. The nonce is random and on record, so a task that is tried again by a retry of
its run gets another token; the token itself is kept nowhere. What a run waits for is the signal `callback:<hash>`
with the SHA-256 of the token: who has the token finds the signal, who sees the signal does not find the token.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final, Protocol

SIGNAL_PREFIX: Final = "callback:"
PATH: Final = "/api/v1/workflow-callbacks/"


class CallbackTokens(Protocol):
    """Issues tokens. A program reads no randomness: it records the nonce, and the token follows from it."""

    def nonce(self) -> str:
        """Something random, to be put on record."""

    def token(self, run_id: str, nonce: str) -> str:
        """The token of a recorded nonce: the same each time, and not to be guessed from the two."""

    def url(self, token: str) -> str:
        """Where to POST the outcome."""


class SecretTokens:
    """`CallbackTokens` of a server: what `secret` gives must outlive it, or tokens still to be sent are others.

    `base_url` is how the server is reached from outside, without a path.
    """

    def __init__(self, secret: Callable[[], bytes], *, base_url: str = "") -> None:
        self._secret = secret
        self._base_url = base_url.rstrip("/")

    def nonce(self) -> str:
        return secrets.token_urlsafe(16)

    def token(self, run_id: str, nonce: str) -> str:
        mac = hmac.digest(self._secret(), f"{run_id}/{nonce}".encode(), hashlib.sha256)
        return f"{run_id}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    def url(self, token: str) -> str:
        return f"{self._base_url}{PATH}{token}"


def signal_of(token: str) -> str:
    """The signal that completes the task that issued a token."""
    return SIGNAL_PREFIX + hashlib.sha256(token.encode()).hexdigest()


def run_of(token: str) -> str:
    """The run that issued a token, should it be one."""
    return token.partition(".")[0]
