"""One try at a delivery over HTTP, and what its answer means."""

import asyncio
import time
from enum import Enum
from typing import Final

import msgspec

from stepwell.programs.http import HttpClient, HttpError, HttpRequest, retry_after_s
from stepwell.store.model import Delivery, DeliveryAttempt
from stepwell.webhooks.endpoints import Endpoint
from stepwell.webhooks.signing import signed_headers

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024
"""Nobody reads the answer's body: a larger one is a fault of the receiver."""
MAX_ERROR: Final = 200
AGENT: Final = "Stepwell-Webhooks"
GONE: Final = 410


class Verdict(Enum):
    """TAKEN: any 2xx. GONE: the receiver wants nothing any more. LATER: anything else, redirects too."""

    TAKEN = "taken"
    GONE = "gone"
    LATER = "later"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`retry_after_s` is what the receiver asked for."""

    verdict: Verdict
    attempt: DeliveryAttempt
    retry_after_s: float | None = None


async def send(http: HttpClient, delivery: Delivery, endpoint: Endpoint, *, now: float) -> Outcome:
    """Send it once. Whatever goes wrong is an outcome."""
    request = HttpRequest(
        method="POST",
        url=delivery.url or endpoint.url,
        headers={
            "content-type": "application/json",
            "user-agent": AGENT,
            **signed_headers(delivery.message, delivery.body, at=now, secrets=endpoint.secrets(now)),
        },
        content=delivery.body.encode(),
    )
    started = time.perf_counter()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await http.send(request)
    except TimeoutError:
        return _failed(now, started, f"no answer within {TIMEOUT_S:g} s")
    except HttpError as fault:
        return _failed(now, started, fault.detail)
    taken = 200 <= answer.status < 300
    error = "" if taken else f"expected a status 2xx, found {answer.status}"
    return Outcome(
        verdict=Verdict.TAKEN if taken else Verdict.GONE if answer.status == GONE else Verdict.LATER,
        attempt=DeliveryAttempt(at=now, status=answer.status, error=error, took_s=_since(started)),
        retry_after_s=None if taken else retry_after_s(answer),
    )


def _failed(now: float, started: float, error: str) -> Outcome:
    attempt = DeliveryAttempt(at=now, error=error[:MAX_ERROR], took_s=_since(started))
    return Outcome(verdict=Verdict.LATER, attempt=attempt)


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
