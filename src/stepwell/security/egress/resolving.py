"""Names to addresses: once per connection, by the system unless a test says otherwise."""

import asyncio
import ipaddress
import socket
from typing import Protocol

from stepwell.security.egress.addresses import Address


class Resolver(Protocol):
    """Looks a name up."""

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Every address of a name, best first. Raises `OSError` when there is none."""


class SystemResolver:
    """`getaddrinfo`, on a thread of the loop's."""

    async def resolve(self, host: str, port: int) -> list[Address]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ipaddress.ip_address(where[0]) for *_, where in found))
