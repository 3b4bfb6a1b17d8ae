"""What may be called, as data, and the checks that need no network: of a URL, and of an address it stands for."""

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from stepwell.core.errors import StepwellError
from stepwell.security.egress.addresses import Address, Network, kind_of
from stepwell.security.egress.refusal import EgressReason, EgressRefusedError

if TYPE_CHECKING:
    import httpx

MAX_URL: Final = 8192
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMERIC: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_PORTS: Final = {"http": 80, "https": 443}


class EgressSettingsError(StepwellError):
    """A setting of the guard that cannot be read."""


class Allowed(msgspec.Struct, frozen=True):
    """What an operator allows: a name or a network, at one port or (None) at any."""

    name: str = ""
    network: Network | None = None
    port: int | None = None

    def covers(self, host: str, port: int, address: Address | None) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is None:
            return host == self.name
        return address is not None and address.version == self.network.version and address in self.network


class EgressRules(msgspec.Struct, frozen=True, kw_only=True):
    """`allowed` are exceptions from ports, addresses and (for http) schemes; `denied` wins over everything."""

    schemes: tuple[str, ...] = ("https",)
    ports: tuple[int, ...] = (80, 443)
    allowed: tuple[Allowed, ...] = ()
    denied: tuple[Network, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """Where a checked URL leads: `host` in lower case, without brackets and trailing dot."""

    scheme: str
    host: str
    port: int


def check_url(url: str, rules: EgressRules) -> Target:
    """Everything that can be said before the name is resolved: for saving a URL, and before each request.

    Raises `EgressRefusedError`.
    """
    if len(url) > MAX_URL or any(sign <= " " or sign in '\\"<>^`{|}\x7f' for sign in url):
        raise EgressRefusedError(EgressReason.URL_INVALID, "expected a URL without spaces and control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EgressRefusedError(EgressReason.URL_INVALID, "expected a URL with a host and a port") from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise EgressRefusedError(EgressReason.CREDENTIALS_IN_URL, "expected a URL without a user's name or password")
    return check_target(parts.scheme.lower(), parts.hostname or "", port, rules)


def check_request_url(url: "httpx.URL", rules: EgressRules) -> Target:
    """The same for a URL as httpx has read it, which is what it connects to."""
    if url.userinfo:
        raise EgressRefusedError(EgressReason.CREDENTIALS_IN_URL, "expected a URL without a user's name or password")
    return check_target(url.scheme, url.raw_host.decode("ascii"), url.port, rules)


def check_target(scheme: str, host: str, port: int | None, rules: EgressRules) -> Target:
    """Scheme, host and port. An address in place of a name is judged at once. Raises `EgressRefusedError`."""
    if scheme not in _PORTS:
        raise EgressRefusedError(EgressReason.SCHEME_NOT_ALLOWED, f"expected an {_or(rules.schemes)} URL")
    host = host.strip("[]").rstrip(".").lower()
    target = Target(scheme, host, port if port is not None else _PORTS[scheme])
    address = literal(host)
    excepted = _excepted(target, address, rules)
    if scheme not in rules.schemes and not excepted:
        raise EgressRefusedError(EgressReason.SCHEME_NOT_ALLOWED, f"expected an {_or(rules.schemes)} URL")
    if target.port not in rules.ports and not excepted:
        raise EgressRefusedError(EgressReason.PORT_NOT_ALLOWED, f"port {target.port} of {host} may not be called")
    if address is not None:
        check_address(target, address, rules)
    return target


def check_address(target: Target, address: Address, rules: EgressRules) -> None:
    """Whether a target may be reached at this address. Raises `EgressRefusedError`."""
    denied = any(address.version == network.version and address in network for network in rules.denied)
    kind = "denied" if denied else None if _excepted(target, address, rules) else kind_of(address)
    if kind is not None:
        raise EgressRefusedError(
            EgressReason.ADDRESS_NOT_ALLOWED,
            f"{target.host} may not be called: its address is {kind}; egress_allow lists exceptions",
            address=str(address),
        )


def literal(host: str) -> Address | None:
    """The address that a host is, in its one usual spelling; None for a name.

    Resolvers take `0x7f.1`, `017700000001` and `127.1` for addresses (inet_aton), so a host whose last label is a
    number is a usual IPv4 address or refused (URL standard, "ends in a number"). Raises `EgressRefusedError`.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _NUMERIC.fullmatch(host.rpartition(".")[2]):
            raise EgressRefusedError(EgressReason.ODD_ADDRESS, "expected an address as four numbers") from None
        if not _NAME.fullmatch(host) or len(host) > 253:
            raise EgressRefusedError(EgressReason.URL_INVALID, "expected the name of a host") from None
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise EgressRefusedError(EgressReason.ODD_ADDRESS, "expected an address without a zone")
    return address


def parse_exceptions(texts: Iterable[str]) -> tuple[Allowed, ...]:
    """The exceptions of a setting: a name, an address or a network, each with or without a port.

    Raises `EgressSettingsError`.
    """
    return tuple(_exception(text.strip().lower()) for text in texts)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks (or addresses) of a setting. Raises `EgressSettingsError`."""
    try:
        return tuple(ipaddress.ip_network(text.strip()) for text in texts)
    except ValueError as fault:
        raise EgressSettingsError(f"egress_deny: expected networks like 10.1.0.0/16: {fault}") from None


def _exception(text: str) -> Allowed:
    host, port = _split_port(text)
    try:
        return Allowed("", ipaddress.ip_network(host.strip("[]")), port)
    except ValueError:
        if "/" in host or not _NAME.fullmatch(host) or _NUMERIC.fullmatch(host.rpartition(".")[2]):
            raise EgressSettingsError(
                f"egress_allow: expected a host, host:port or network like 10.1.0.0/16, found {text!r}"
            ) from None
        return Allowed(host.rstrip("."), None, port)


def _split_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:80`, `10.0.0.0/8:80`, `[::1]:80`, `::1`."""
    head, sign, tail = text.rpartition(":")
    bare_ipv6 = ":" in head and not head.endswith("]")
    if not sign or bare_ipv6 or not (tail.isascii() and tail.isdigit()) or int(tail) > 65535:
        return text, None
    return head, int(tail)


def _excepted(target: Target, address: Address | None, rules: EgressRules) -> bool:
    return any(one.covers(target.host, target.port, address) for one in rules.allowed)


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)
