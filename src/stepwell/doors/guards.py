"""What stands before every door: whose path it is, who asks, and how much of it there may be."""

from collections.abc import Callable, Sequence
from typing import Final

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from stepwell.doors.access import cors_origins, public_origin
from stepwell.doors.hosts import LoopbackHosts, host_of, is_loopback
from stepwell.doors.problem import PROBLEMS
from stepwell.security.authentication import ORGANISATION, Authenticator, DoorRules
from stepwell.security.doors import Door, Doors
from stepwell.security.headers import SafeHeaders
from stepwell.security.limits.rates import Buckets
from stepwell.security.limits.rating import RateLimit
from stepwell.security.limits.sizes import SizeLimits, SizeRules
from stepwell.security.limits.streaming import StreamLimit
from stepwell.security.middleware import Authentication
from stepwell.security.origins import PROOF_HEADER
from stepwell.settings import Settings

PROBES: Final = ("/health", "/llama/health")
"""Answered to everybody: they say nothing but that the process lives."""

OTHER: Final = Door(prefixes=("/",), refuse=PROBLEMS.refuse, rules=DoorRules(is_open=PROBES.__contains__))
"""Whatever path is no door's: nobody gets there without a credential, except to the probes."""

_SENT: Final = (
    *("Authorization", "X-API-Key", "API-Key", "Content-Type"),
    *("Idempotency-Key", "If-Match", "Last-Event-ID", "Prefer"),
)
"""What a page of another origin may send, beside what every page may (Fetch standard, CORS-safelisted)."""
_READ: Final = (
    *("ETag", "Link", "Location", "Retry-After", "X-Workflow-Run-Id"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining"),
)
"""What it may read of an answer."""
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def guards(
    settings: Settings,
    *,
    doors: Sequence[Door],
    authenticator: Callable[[], Authenticator],
    clock: Callable[[], float],
) -> list[Middleware]:
    """The middleware of a server, outermost first. `authenticator` is asked for at each request.

    Raises `SettingsError`.
    """
    all_doors = Doors(doors, other=OTHER)
    failures = settings.auth_failures_per_minute
    layers = [
        Middleware(SafeHeaders),
        Middleware(
            Authentication,
            authenticator_of=lambda _scope: authenticator(),
            doors=all_doors,
            clock=clock,
            failures=Buckets(failures) if failures else None,
        ),
        Middleware(StreamLimit, per_principal=settings.max_streams, doors=all_doors),
        Middleware(SizeLimits, rules=_size_rules(settings), doors=all_doors),
    ]
    if settings.rate_limit:
        layers.insert(2, Middleware(RateLimit, per_minute=settings.rate_limit, doors=all_doors, clock=clock))
    if settings.cors_origins:
        layers.insert(1, _cors(settings))  # before authentication: a browser asks without credentials first
    if is_loopback(settings.host):
        layers.insert(0, Middleware(LoopbackHosts, public=host_of(public_origin(settings).rpartition("/")[2])))
    return layers


def _size_rules(settings: Settings) -> SizeRules:
    return SizeRules(
        header_bytes=settings.max_header_bytes,
        body_bytes=settings.max_body_bytes,
        upload_bytes=settings.max_upload_bytes,
        json_depth=settings.max_json_depth,
    )


def _cors(settings: Settings) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=cors_origins(settings),
        allow_methods=_METHODS,
        allow_headers=(*_SENT, ORGANISATION, PROOF_HEADER),
        expose_headers=_READ,
        allow_credentials=True,
    )
