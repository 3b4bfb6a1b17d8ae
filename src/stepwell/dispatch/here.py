"""What this process says of itself to the others that drive runs of the database."""

import os
import socket
from functools import cache
from importlib.metadata import version

from stepwell.dispatch.port import NodeInfo


def here(runs: int) -> NodeInfo:
    """This process, which drives so many runs."""
    return NodeInfo(host=socket.gethostname(), pid=os.getpid(), version=_version(), runs=runs)


@cache
def _version() -> str:
    return version("stepwell")
