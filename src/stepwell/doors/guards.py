"""What stands before every door: only loopback names on a loopback address, a principal, bounded bodies."""

from collections.abc import Callable
from typing import Final

from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import Scope

from stepwell.doors.hosts import LoopbackHosts, is_loopback
from stepwell.doors.problem import problem_response
from stepwell.security.authentication import Authenticator, DoorRules
from stepwell.security.doors import Door, Doors
from stepwell.security.limits.sizes import SizeLimits, SizeRules
from stepwell.security.middleware import Authentication
from stepwell.security.refusals import Refusal

PROBES: Final = ("/health", "/llama/health")
"""Answered to everybody: they say nothing but that the process lives."""


def guards(host: str, *, authenticator: Callable[[], Authenticator], clock: Callable[[], float]) -> list[Middleware]:
    """The middleware of a server on `host`, outermost first. `authenticator` is asked for at each request."""
    doors = Doors([], other=Door(prefixes=("/",), refuse=_refuse, rules=DoorRules(is_open=PROBES.__contains__)))
    checks = [
        Middleware(Authentication, authenticator_of=lambda _scope: authenticator(), doors=doors, clock=clock),
        Middleware(SizeLimits, rules=SizeRules(), doors=doors),
    ]
    return [Middleware(LoopbackHosts), *checks] if is_loopback(host) else checks


def _refuse(_scope: Scope, refusal: Refusal) -> Response:
    return problem_response(
        refusal.status, refusal.detail, headers=dict(refusal.headers), reason=refusal.reason.value
    )
