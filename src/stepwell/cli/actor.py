"""Who acts on the command line: the person at this machine."""

import getpass

from stepwell.core.history import Actor


def local_actor(name: str | None = None, roles: tuple[str, ...] = ()) -> Actor:
    """The local principal, under the name of the system's user unless another is given."""
    return Actor(type="local", id=name or _user(), roles=roles)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "local"
