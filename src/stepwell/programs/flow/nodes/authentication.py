"""Who a call says it is, from values in the definition, the data or a secret.

Credentials are put together before a step and used inside it. They are never recorded: not in the request that an
output holds, not in an error, not in what a server says back.
"""

from base64 import b64encode
from typing import Any, Literal

import msgspec

from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression, constant, together
from stepwell.programs.flow.model.security import AuthenticationPolicy, Bearer, Credentials, OAuth
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.flow.nodes.oauth import CLIENT_AUTHENTICATIONS, GRANTS, Grant, Tokens
from stepwell.programs.flow.nodes.scope import Scope, evaluate

Scheme = Literal["basic", "bearer", "digest", "oauth"]

_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials, resolved. For `bearer` the token is the `password`."""

    scheme: Scheme
    username: str = ""
    password: str = ""
    grant: Grant | None = None
    """For `oauth`: what a token is asked for with, once the step is under way."""
    tokens: Any = None

    def __repr__(self) -> str:
        return f"Login({self.scheme})"

    @property
    def header(self) -> str | None:
        """The `Authorization` header (RFC 7617 §2, RFC 6750 §2.1); None for digest, which answers a challenge."""
        return None if self.parameter is None else f"{self._name} {self.parameter}"

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
        """The standard's `$authorization`. Of digest and OAuth the parameter is known only in the step."""
        return {"scheme": self._name, "parameter": self.parameter}

    @property
    def _name(self) -> str:
        return "Bearer" if self.scheme == "oauth" else self.scheme.capitalize()

    @property
    def hidden(self) -> tuple[str, ...]:
        return (self.password, self.parameter or "", *(self.grant.hidden if self.grant is not None else ()))


class Authorizer:
    """A compiled policy. What it needs from the data is one expression: a call sends it out with its own."""

    def __init__(self, policy: AuthenticationPolicy, tokens: Tokens) -> None:
        self._scheme, given = _scheme_of(policy)
        self._tokens = tokens
        self._discovers = policy.oidc is not None
        self._secret = given.use
        self._at = given.at
        self.expression: Expression = _expression(given)

    def login(self, scope: Scope, found: Any) -> Login:
        """The credentials, `found` being the value of the expression. Raises `ProgramError`."""
        if self._secret is not None:
            found = scope.strand.facts.secrets.find(self._secret)
        if self._scheme == "oauth":
            return Login(scheme="oauth", grant=self._grant(found), tokens=self._tokens)
        if self._scheme == "bearer":
            token = found.get("token") if isinstance(found, dict) else found
            return Login(scheme="bearer", password=self._text(token, "token"))
        given = found if isinstance(found, dict) else {}
        return Login(
            scheme=self._scheme,
            username=self._text(given.get("username"), "username"),
            password=self._text(given.get("password"), "password"),
        )

    async def describe(self, scope: Scope, value: Any) -> dict[str, Any]:
        """`$authorization` for the task's own expressions."""
        found = await evaluate(self.expression, value, scope.variables(self.expression, value), self._at)
        return self.login(scope, found).descriptor

    def _grant(self, found: Any) -> Grant:
        """From the properties of the language, written down or in a secret. Raises `ProgramError`."""
        given = found if isinstance(found, dict) else {}
        client, endpoints, request = (_object(given.get(name)) for name in ("client", "endpoints", "request"))
        options = {
            "grant": given.get("grant", "client_credentials"),
            "encoding": request.get("encoding"),
            "client_authentication": client.get("authentication"),
            "endpoint": endpoints.get("token"),
        }
        fields = {
            "scope": given.get("scopes"),
            "audience": given.get("audiences"),
            "username": given.get("username"),
            "password": given.get("password"),
            **_exchanged(given),
        }
        more = tuple(
            (name, " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
            for name, value in fields.items()
            if value
        )
        texts = {
            "authority": self._text(given.get("authority"), "authority"),
            "client": client.get("id", ""),
            "secret": client.get("secret", ""),
        }
        wanted = {name: value for name, value in options.items() if value is not None}
        if (
            options["grant"] not in GRANTS
            or wanted.get("client_authentication", "none") not in CLIENT_AUTHENTICATIONS
        ):
            raise failure(
                "configuration",
                f"expected one of the grants {', '.join(GRANTS)} and of the client "
                f"authentications {', '.join(CLIENT_AUTHENTICATIONS)}, found others",
                self._at,
                status=400,
            )
        try:
            return msgspec.convert({**texts, **wanted, "discovers": self._discovers, "more": more}, Grant)
        except msgspec.ValidationError as error:
            raise failure("configuration", f"the authentication is wrong: {error}", self._at, status=400) from None

    def _text(self, value: Any, name: str) -> str:
        """Never says what it found: it may be the secret in a wrong shape."""
        source = f" in the secret {self._secret!r}" if self._secret is not None else ""
        if isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value)
            if text.isprintable() and not (name == "username" and self._scheme == "basic" and ":" in text):
                return text
            raise failure(
                "configuration",
                f"expected a {name}{source} that can stand in a header, found signs that cannot",
                self._at,
                status=400,
            )
        found = "nothing" if value is None else describe(value).split()[0]
        raise failure("configuration", f"expected a {name} (text){source}, found {found}", self._at, status=400)


def _expression(given: Credentials | Bearer | OAuth) -> Expression:
    """All that may be an expression in it, with the rest, as one that gives an object."""
    if isinstance(given, OAuth):
        return together({name: part for name, value in _members(given) if (part := _part(value)) is not None})
    names = ("token",) if isinstance(given, Bearer) else ("username", "password")
    return together({name: part for name in names if (part := getattr(given, name)) is not None})


def _part(value: Any) -> Expression | None:
    if value is None or isinstance(value, Expression):
        return value
    if isinstance(value, Part):
        return together({name: part for name, inner in _members(value) if (part := _part(inner)) is not None})
    return constant(value)


def _members(part: Part) -> list[tuple[str, Any]]:
    return [(name, getattr(part, name)) for name in part.__struct_fields__ if name not in ("at", "use")]


def _exchanged(given: dict[str, Any]) -> dict[str, Any]:
    """The tokens to exchange (RFC 8693 §2.1)."""
    found = {}
    for name in ("subject", "actor"):
        if token := _object(given.get(name)):
            found[f"{name}_token"] = token.get("token")
            found[f"{name}_token_type"] = token.get("type") or _TOKEN_TYPE
    return found


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _scheme_of(policy: AuthenticationPolicy) -> tuple[Scheme, Credentials | Bearer | OAuth]:
    if (oauth := policy.oauth2 or policy.oidc) is not None:
        return "oauth", oauth
    if policy.basic is not None:
        return "basic", policy.basic
    if policy.bearer is not None:
        return "bearer", policy.bearer
    assert policy.digest is not None, "a checked definition has no other scheme"
    return "digest", policy.digest
