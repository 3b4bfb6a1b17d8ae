"""A network namespace with one cable to this one: the network that a node loses."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

HERE: Final = "10.213.119.1"
THERE: Final = "10.213.119.2"
NETWORK: Final = "10.213.119.0/30"


def lacking() -> str:
    """Why there can be none; "" where there can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need root, and `ip` of iproute2"
    name = f"stepwell-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"network namespaces cannot be made here: {tried.stderr.strip()}"
    _ip("netns", "del", name)
    return ""


class Namespace:
    """`prefix` runs a command in it. What is sent while the cable is cut goes nowhere, and nobody is told."""

    def __init__(self) -> None:
        self._name = f"stepwell-{os.getpid()}"
        self._cable = f"stepwell{os.getpid() % 1_000_000}"
        self.prefix = ("ip", "netns", "exec", self._name)

    def lay(self) -> None:
        end = f"{self._cable}e"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", end, "netns", self._name)
        _ip("addr", "add", f"{HERE}/30", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        _ip("-n", self._name, "addr", "add", f"{THERE}/30", "dev", end)
        _ip("-n", self._name, "link", "set", end, "up")
        _ip("-n", self._name, "link", "set", "lo", "up")

    def cut(self) -> None:
        _ip("link", "set", self._cable, "down")

    def mend(self) -> None:
        _ip("link", "set", self._cable, "up")

    def remove(self) -> None:
        _ip("netns", "del", self._name)  # the cable goes with it


@contextmanager
def namespace() -> Iterator[Namespace]:
    laid = Namespace()
    try:
        laid.lay()
        yield laid
    finally:
        laid.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
