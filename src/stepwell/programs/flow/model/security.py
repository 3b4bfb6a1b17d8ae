"""How a call proves who it is. Certificates, and grants that need a person or a key, are read and refused."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from stepwell.programs.flow.binding import Part, Unsupported, reader_of
from stepwell.programs.flow.check import BROKEN, Check, one_of
from stepwell.programs.flow.model.references import AuthenticationName, SecretName
from stepwell.programs.flow.model.text import Text

Grant = Literal[
    "authorization_code",
    "client_credentials",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:token-exchange",
]
ClientAuthentication = Literal[
    "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"
]


class Credentials(Part, frozen=True, kw_only=True):
    """For `basic` and `digest`: both names, or a secret that holds them."""

    username: Text | None = None
    password: Text | None = None
    use: SecretName | None = None


def read_credentials(value: Any, at: str, check: Check) -> Any:
    credentials = reader_of(Credentials)(value, at, check)
    if not isinstance(credentials, Credentials):
        return credentials
    given = [name for name in ("username", "password") if getattr(credentials, name) is not None]
    if credentials.use is not None and given:
        return check.fault(
            f"{at}/{given[0]}", f"expected 'use' alone or 'username' and 'password', found 'use' and {given[0]!r}"
        )
    missing = [name for name in ("username", "password") if name not in given and credentials.use is None]
    for name in missing:
        check.fault(f"{at}/{name}", f"expected 'use' alone or 'username' and 'password', found no {name!r}")
    return BROKEN if missing else credentials


class Bearer(Part, frozen=True, kw_only=True):
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("token", "use")

    token: Text | None = None
    use: SecretName | None = None


class Token(Part, frozen=True, kw_only=True):
    token: Text
    type: Text


class OAuthClient(Part, frozen=True, kw_only=True):
    id: Text | None = None
    secret: Text | None = None
    assertion: Text | None = None
    authentication: ClientAuthentication | None = None


class OAuthEndpoints(Part, frozen=True, kw_only=True):
    """Relative to the authority. Only the one for tokens is used."""

    token: str | None = None
    revocation: str | None = None
    introspection: str | None = None


class OAuthRequest(Part, frozen=True, kw_only=True):
    encoding: Literal["application/x-www-form-urlencoded", "application/json"] | None = None


class OAuth(Part, frozen=True, kw_only=True):
    """For `oauth2` and `oidc`."""

    authority: Text | None = None
    endpoints: OAuthEndpoints | None = None
    grant: Grant | None = None
    client: OAuthClient | None = None
    request: OAuthRequest | None = None
    issuers: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    username: Text | None = None
    password: Text | None = None
    subject: Token | None = None
    actor: Token | None = None
    use: SecretName | None = None


def read_oauth(value: Any, at: str, check: Check) -> Any:
    oauth = reader_of(OAuth)(value, at, check)
    if not isinstance(oauth, OAuth):
        return oauth
    if oauth.use is None:
        missing = [name for name in ("authority", "grant") if getattr(oauth, name) is None]
        for name in missing:
            check.fault(f"{at}/{name}", f"expected 'use' alone or 'authority' and 'grant', found no {name!r}")
        if missing:
            return BROKEN
    elif len(value) > 1:
        others = one_of(name for name in value if name != "use")
        return check.fault(at, f"expected 'use' alone, found it with {others}")
    if oauth.grant in ("authorization_code", "refresh_token"):
        check.unsupported(f"{at}/grant", f"the grant {oauth.grant}")
    if oauth.client is not None and oauth.client.authentication in ("client_secret_jwt", "private_key_jwt"):
        check.unsupported(f"{at}/client/authentication", f"the client authentication {oauth.client.authentication}")
    if oauth.issuers:
        check.unsupported(f"{at}/issuers", "checking the issuer of a token")
    return oauth


class AuthenticationPolicy(Part, frozen=True, kw_only=True):
    """One scheme, as `use.authentications` holds it."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("basic", "bearer", "certificate", "digest", "oauth2", "oidc")

    basic: Annotated[Credentials, read_credentials] | None = None
    bearer: Bearer | None = None
    certificate: Annotated[Mapping[str, Any], Unsupported("authentication by certificate")] | None = None
    digest: Annotated[Credentials, read_credentials] | None = None
    oauth2: Annotated[OAuth, read_oauth] | None = None
    oidc: Annotated[OAuth, read_oauth] | None = None


class Authentication(AuthenticationPolicy, frozen=True, kw_only=True):
    """A scheme, or the name of one in `use.authentications`."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("use", *AuthenticationPolicy.EXACTLY_ONE)

    use: AuthenticationName | None = None
