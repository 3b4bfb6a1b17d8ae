"""Which addresses are of the public Internet: the IANA special-purpose registries (RFC 6890) as two tables.

Written out, since `ipaddress.is_global` is no such list: CPython 3.11.7 calls 224.0.0.1, NAT64 and 6to4 of 127.0.0.1
global (measured), and its answers differ between patch releases (CVE-2024-4032).
"""

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV4: Final = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared with a provider (CGNAT)",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a cloud's own",  # Azure's WireServer, in a public range
    "169.254.0.0/16": "link-local",  # with 169.254.169.254, where clouds give out credentials
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "reserved",
    "192.88.99.0/24": "a tunnel",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "reserved",
    "198.51.100.0/24": "reserved",
    "203.0.113.0/24": "reserved",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_IPV6: Final = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::ffff:0:0/96": "a mapped IPv4",
    "::/96": "a compatible IPv4",
    "64:ff9b:1::/48": "a local translation (NAT64)",
    "100::/64": "reserved",
    "2001::/32": "a tunnel (Teredo)",
    "2001::/23": "reserved",
    "2001:db8::/32": "reserved",
    "2002::/16": "a tunnel (6to4)",
    "3fff::/20": "reserved",
    "5f00::/16": "reserved",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "private",
    "ff00::/8": "multicast",
}
_TABLES: Final = {
    4: [(ipaddress.ip_network(network), kind) for network, kind in _IPV4.items()],
    6: [(ipaddress.ip_network(network), kind) for network, kind in _IPV6.items()],
}
_GLOBAL_IPV6: Final = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out (RFC 4291 §2.4)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1: the IPv4 address is in the last 32 bits
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214 §6.1: interface ids that hold an IPv4 address


def kind_of(address: Address) -> str | None:
    """What an address is, when it is not one of the public Internet; None when it is.

    An IPv6 address that stands for an IPv4 one is a way around every check of the latter. Only the well-known NAT64
    prefix is in honest use (hosts without IPv4, RFC 6147): that is judged by the address in it.
    """
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return kind_of(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    for network, kind in _TABLES[address.version]:
        if address in network:
            return kind
    if isinstance(address, ipaddress.IPv6Address):
        if address not in _GLOBAL_IPV6:
            return "reserved"
        if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
            return "a tunnel (ISATAP)"
    return None
