"""Who a call says it is: basic, bearer and digest, from values in the definition, the data or a secret.

Credentials are put together before a step and used inside it. They are never recorded: not in the request that an
output holds, not in an error, not in what a server says back.
"""

from base64 import b64encode
from typing import Any, Literal

import msgspec

from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression, together
from stepwell.programs.flow.model.security import AuthenticationPolicy, Bearer, Credentials
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.flow.nodes.scope import Scope, evaluate

Scheme = Literal["basic", "bearer", "digest"]


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials, resolved. For `bearer` the token is the `password`."""

    scheme: Scheme
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.scheme})"

    @property
    def header(self) -> str | None:
        """The `Authorization` header (RFC 7617 §2, RFC 6750 §2.1); None for digest, which answers a challenge."""
        return None if self.parameter is None else f"{self.scheme.capitalize()} {self.parameter}"

    @property
    def parameter(self) -> str | None:
        match self.scheme:
            case "basic":
                return b64encode(f"{self.username}:{self.password}".encode()).decode()
            case "bearer":
                return self.password
        return None

    @property
    def descriptor(self) -> dict[str, Any]:
        """The standard's `$authorization`."""
        return {"scheme": self.scheme.capitalize(), "parameter": self.parameter}

    @property
    def hidden(self) -> tuple[str, ...]:
        return (self.password, self.parameter or "")


class Authorizer:
    """A compiled policy. What it needs from the data is one expression, so that a call can send it out with its own.
    """

    def __init__(self, policy: AuthenticationPolicy) -> None:
        self._scheme, given = _scheme_of(policy)
        self._secret = given.use
        self._at = given.at
        names = ("token",) if isinstance(given, Bearer) else ("username", "password")
        parts = {name: part for name in names if (part := getattr(given, name)) is not None}
        self.expression: Expression = together(parts)

    def login(self, scope: Scope, found: Any) -> Login:
        """The credentials, `found` being the value of the expression. Raises `ProgramError`."""
        if self._secret is not None:
            found = scope.strand.facts.secrets.find(self._secret)
        if self._scheme == "bearer":
            token = found.get("token") if isinstance(found, dict) else found
            return Login(scheme="bearer", username="", password=self._text(token, "token"))
        given = found if isinstance(found, dict) else {}
        return Login(scheme=self._scheme, username=self._text(given.get("username"), "username"),
                     password=self._text(given.get("password"), "password"))

    async def describe(self, scope: Scope, value: Any) -> dict[str, Any]:
        """`$authorization` for the task's own expressions."""
        found = await evaluate(self.expression, value, scope.variables(self.expression, value), self._at)
        return self.login(scope, found).descriptor

    def _text(self, value: Any, name: str) -> str:
        """Never says what it found: it may be the secret in a wrong shape."""
        source = f" in the secret {self._secret!r}" if self._secret is not None else ""
        if isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value)
            if text.isprintable() and not (name == "username" and self._scheme == "basic" and ":" in text):
                return text
            raise failure("configuration", f"expected a {name}{source} that can stand in a header, found signs that "
                                           "cannot", self._at, status=400)
        found = "nothing" if value is None else describe(value).split()[0]
        raise failure("configuration", f"expected a {name} (text){source}, found {found}", self._at, status=400)


def _scheme_of(policy: AuthenticationPolicy) -> tuple[Scheme, Credentials | Bearer]:
    if policy.basic is not None:
        return "basic", policy.basic
    if policy.bearer is not None:
        return "bearer", policy.bearer
    assert policy.digest is not None, "a checked definition has no other scheme"
    return "digest", policy.digest
