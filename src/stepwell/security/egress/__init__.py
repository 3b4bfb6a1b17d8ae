"""The egress guard: which addresses are called for a user (OWASP API7:2023, server-side request forgery).

Everything that comes from a user and names a URL goes through `GuardedTransport`: HTTP steps, webhooks, callbacks,
documents and files by URL. What the operator wrote (settings, files on the command line) does not.

`transport` is not exported here: it brings httpx, which programs that call nobody need not import (0.1 s).
"""

from stepwell.security.egress.refusal import EgressReason, EgressRefusedError
from stepwell.security.egress.resolving import Resolver, SystemResolver
from stepwell.security.egress.rules import EgressRules, check_url, parse_exceptions

__all__ = [
    "EgressReason",
    "EgressRefusedError",
    "EgressRules",
    "Resolver",
    "SystemResolver",
    "check_url",
    "parse_exceptions",
]
