"""Ports of loopback that nobody listens on."""

import socket


def free_ports(count: int) -> list[int]:
    """So many different ones; another process may take one before it is used."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports
