"""Who asks: the principal that a credential (or the loopback rule) stands for, the same through every door.

How one is found is not decided here (`security/` does that). A principal owns runs under `owner`; another owner's run
does not exist for it (OWASP API1:2023), which doors get right by handing `sees` to every query.
"""

from typing import Final, Literal

import msgspec

from stepwell.core.history import Actor

PrincipalType = Literal["user", "api_key", "internal", "local"]
Scope = Literal["read", "write", "admin"]

READ_WRITE: Final[tuple[Scope, ...]] = ("read", "write")
ALL_SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")


class Principal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`id` is the person or service that is recorded as the actor and named as an approver.

    A key acts for its owner, so its `id` is the owner too: two credentials of one person are one voter, and the ban
    on approving one's own run holds whichever of them is used. `credential` says which key it was, for logs.

    `owner` is what runs belong to: empty for the local principal only. `organisation` is the one this request is made
    for, "" when none; `organisations` are those it may name. `admin` among the scopes sees every owner's runs.
    """

    type: PrincipalType
    id: str
    owner: str = ""
    organisation: str = ""
    organisations: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = READ_WRITE
    display: str = ""
    credential: str = ""

    @property
    def sees(self) -> str | None:
        """The owner whose runs it sees; None: everybody's. For `RunQuery.owner` and its likes."""
        return None if "admin" in self.scopes else self.owner

    def may_see(self, owner: str) -> bool:
        """Whether a run of this owner exists for it; when not, answer as for an unknown id."""
        return self.sees is None or self.sees == owner

    def may(self, scope: Scope) -> bool:
        """Whether it holds the scope; `admin` holds all."""
        return scope in self.scopes or "admin" in self.scopes

    def actor(self, ip: str = "") -> Actor:
        """How the history names it. `ip` is the socket peer's address."""
        return Actor(type=self.type, id=self.id, ip=ip, roles=self.roles)


LOCAL: Final = Principal(type="local", id="local", scopes=ALL_SCOPES, display="local")
"""Whoever sits at this machine, when nobody configured authentication. It may name any organisation."""
