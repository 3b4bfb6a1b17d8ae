"""A request as authentication sees it: a record, so that every rule about it is a plain function."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode

import msgspec

Source = Literal["cookie", "query", "authorization", "x-api-key", "api-key"]
"""Where a credential may stand."""

SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")  # RFC 9110 §9.2.1, those we answer
QUERY_NAME: Final = "token"

_FORWARDING: Final = frozenset(
    {
        *("forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-host", "true-client-ip"),
        *("cf-connecting-ip", "cf-connecting-ipv6", "fastly-client-ip", "x-appengine-user-ip", "x-proxyuser-ip"),
        "x-envoy-external-address",
    }
)
_FORWARDING_STARTS: Final = ("x-forwarded", "x-original-forwarded")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """`headers` are the values of each name, which is in lower case. `peer` is the address of the socket, never of a
    header; None when there is none (a Unix socket).
    """

    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, Sequence[str]] = {}
    query: str = ""
    peer: str | None = None
    websocket: bool = False

    def all(self, name: str) -> Sequence[str]:
        """Every value of a header."""
        return self.headers.get(name, ())

    def one(self, name: str) -> str | None:
        """The value of a header that is there once; None when it is missing or repeated."""
        found = self.all(name)
        return found[0] if len(found) == 1 else None

    def cookies(self, name: str) -> list[str]:
        """Every value of a cookie (RFC 6265 §5.4 allows several)."""
        pairs = (pair.strip().partition("=") for line in self.all("cookie") for pair in line.split(";"))
        return [value.strip('"') for found, sign, value in pairs if sign and found == name]

    def parameters(self, name: str) -> list[str]:
        """Every value of a query parameter."""
        return [value for found, value in _pairs(self.query) if found == name]

    @property
    def unsafe(self) -> bool:
        """Whether it can change something. A WebSocket can, and its handshake is a GET."""
        return self.websocket or self.method not in SAFE_METHODS

    @property
    def forwarded(self) -> bool:
        """Whether somebody in between says so: then the peer is not who asks (RFC 7239 §8)."""
        names = self.headers
        return not _FORWARDING.isdisjoint(names) or any(name.startswith(_FORWARDING_STARTS) for name in names)

    @property
    def from_browser(self) -> bool:
        """Browsers say where a request comes from (Fetch standard, Fetch Metadata); others have no reason to."""
        return any(name == "origin" or name.startswith("sec-fetch-") for name in self.headers)


def without_token(query: str) -> str:
    """A query string without its credential: whatever stands behind us may log it."""
    return urlencode([(name, value) for name, value in _pairs(query) if name != QUERY_NAME])


def _pairs(query: str) -> Iterable[tuple[str, str]]:
    if not query:
        return ()
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return [(QUERY_NAME, "")]  # too many to look at: refused as a credential that is none
