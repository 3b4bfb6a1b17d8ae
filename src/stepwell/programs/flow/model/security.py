"""How a call proves who it is. All of it is read; none is supported yet where it is used."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.model.references import AuthenticationName, SecretName
from stepwell.programs.flow.model.text import Text

Grant = Literal["authorization_code", "client_credentials", "password", "refresh_token",
                "urn:ietf:params:oauth:grant-type:token-exchange"]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "client_secret_jwt",
                               "private_key_jwt", "none"]


class Credentials(Part, frozen=True, kw_only=True):
    """For `basic` and `digest`: both names, or a secret that holds them."""

    username: Text | None = None
    password: Text | None = None
    use: SecretName | None = None


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


class AuthenticationPolicy(Part, frozen=True, kw_only=True):
    """One scheme, as `use.authentications` holds it."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("basic", "bearer", "certificate", "digest", "oauth2", "oidc")

    basic: Credentials | None = None
    bearer: Bearer | None = None
    certificate: Mapping[str, Any] | None = None
    digest: Credentials | None = None
    oauth2: OAuth | None = None
    oidc: OAuth | None = None


class Authentication(AuthenticationPolicy, frozen=True, kw_only=True):
    """A scheme, or the name of one in `use.authentications`."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("use", *AuthenticationPolicy.EXACTLY_ONE)

    use: AuthenticationName | None = None
