"""Signatures, checked with the receiver's side of the standard's own library."""

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from stepwell.core.errors import InvalidInputError
from stepwell.webhooks.signing import check_secret, new_secret, signed_headers

BODY = '{"type":"workflow.run.completed","data":{"name":"Überprüfung"}}'


def test_receivers_accept_a_signed_message_with_the_librarys_verification() -> None:
    secret = new_secret()
    headers = signed_headers("msg_1", BODY, at=time.time(), secrets=[secret])
    assert Webhook(secret).verify(BODY.encode(), headers)["data"] == {"name": "Überprüfung"}


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_nothing_that_is_signed_can_be_changed(name: str) -> None:
    secret = new_secret()
    headers = signed_headers("msg_1", BODY, at=time.time(), secrets=[secret])
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + " ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, {**headers, name: str(int(time.time()) - 1)})


def test_two_secrets_sign_and_either_is_enough() -> None:
    old, new = new_secret(), new_secret()
    headers = signed_headers("msg_1", BODY, at=time.time(), secrets=[new, old])
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_fresh_secrets_are_long_and_differ() -> None:
    assert new_secret() != new_secret()
    assert len(base64.b64decode(check_secret(new_secret()).removeprefix("whsec_"))) == 32


@pytest.mark.parametrize(
    "secret",
    ["hunter2hunter2hunter2hunter2", "whsec_", "whsec_%%%%", "whsec_" + base64.b64encode(b"x" * 23).decode(),
     "whsec_" + base64.b64encode(b"x" * 65).decode()],
)  # fmt: skip
def test_secrets_that_are_none_are_refused_and_never_repeated(secret: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^secret: expected whsec_") as refused:
        check_secret(secret)
    assert secret == "whsec_" or secret not in str(refused.value)
