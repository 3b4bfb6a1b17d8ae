"""Cross-site requests: a browser sends cookies, and reaches loopback, for whichever page asks it to.

Where the credential comes by itself (a cookie) or none is needed (loopback), a request that can change something must
come from our own pages, or from an allowed origin. Where the caller had to add the credential, no page can forge it.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from stepwell.security.call import Call
from stepwell.security.refusals import AccessError, Reason

PROOF_HEADER: Final = "x-requested-with"
"""A page of another origin can send no header of this kind without being allowed to first (Fetch §4.8, preflight)."""
_PORTS: Final = {"http": 80, "https": 443}


def check_origin(call: Call, *, allowed: Sequence[str], proof: bool) -> None:
    """Refuse what comes from elsewhere; with `proof` also what does not show where it comes from.

    Raises `AccessError` (`cross_site`).
    """
    if not call.unsafe:
        return
    origins, site = call.all("origin"), call.one("sec-fetch-site")
    if origins:
        if len(origins) > 1 or not (_same(origins[0], call.one("host")) or origins[0] in allowed):
            raise AccessError(Reason.CROSS_SITE, "the request comes from a page of another origin")
        return
    if site is not None:
        if site not in ("same-origin", "none"):  # none: typed in by the user (Fetch Metadata §2.3)
            raise AccessError(Reason.CROSS_SITE, "the request comes from a page of another site")
        return
    if proof and not call.all(PROOF_HEADER):
        raise AccessError(
            Reason.CROSS_SITE,
            f"a request with a cookie shows where it comes from: Origin, or the header {PROOF_HEADER}",
        )


def _same(origin: str, host: str | None) -> bool:
    """Whether an `Origin` is the `Host` that was asked. The scheme is not compared: a proxy may have ended TLS."""
    try:
        parts, own = urlsplit(origin), urlsplit(f"//{host or ''}")
        default = _PORTS.get(parts.scheme)
        return bool(own.hostname and default) and (parts.hostname, parts.port or default) == (
            own.hostname,
            own.port or default,
        )
    except ValueError:
        return False
