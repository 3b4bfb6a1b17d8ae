"""When nobody needs to say who they are, and when the network says it for them. Both look at the socket's peer only.

A proxy on this machine makes the whole world look like loopback, and anybody can write `X-Forwarded-For`: so one
forwarding header ends both rules. `scope["client"]` must be the socket's peer: run uvicorn with
`proxy_headers=False`.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from stepwell.core.errors import StepwellError
from stepwell.security.call import Call

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MIN_PREFIX: Final = {4: 16, 6: 48}
"""Wider networks are refused: "every private address" is no statement about who calls."""


class NetworkError(StepwellError):
    """A setting that names no network, or one too wide to be trusted."""


@lru_cache
def is_loopback_bind(host: str) -> bool:
    """Whether a server that listens on `host` is reached from this machine only."""
    address = address_of(host.strip("[]"))
    return host.lower() == "localhost" if address is None else address.is_loopback


def may_be_anonymous(call: Call, *, bind: str, configured: bool) -> bool:
    """The one rule: bound to loopback, no authentication configured, loopback peer, nothing forwarded."""
    peer = address_of(call.peer)
    return is_loopback_bind(bind) and not configured and peer is not None and peer.is_loopback and not call.forwarded


def is_trusted(call: Call, networks: Iterable[Network]) -> bool:
    """Whether the peer is an internal caller: in a named network, not through a proxy, not a browser."""
    peer = address_of(call.peer)
    if peer is None or call.forwarded or call.from_browser:
        return False
    return any(peer.version == network.version and peer in network for network in networks)


def trusted_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a setting. Raises `NetworkError`."""
    return tuple(_network(text) for text in texts)


@lru_cache(4096)  # the same few peers, over and over
def address_of(text: str | None) -> Address | None:
    """An address as the socket names it; IPv4 seen through an IPv6 socket is IPv4."""
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(4096)  # as above
def address_text(text: str) -> str:
    """An address in its usual form; "" for what is none."""
    address = address_of(text)
    return str(address) if address else ""


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as fault:
        raise NetworkError(f"expected a network like 10.1.0.0/16, found {text!r} ({fault})") from None
    least = MIN_PREFIX[network.version]
    if network.prefixlen < least:
        raise NetworkError(f"expected a network of /{least} or narrower to trust, found {text}")
    return network
