"""From settings to the rules of `security/`: who is let in, how much may be sent, which addresses are called.

Every fault is a `SettingsError` that names the setting, found before the server listens.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from stepwell.security.authentication import AccessRules, Verifier
from stepwell.security.claims import TokenRules
from stepwell.security.egress.rules import EgressRules, EgressSettingsError, parse_exceptions, parse_networks
from stepwell.security.loopback import NetworkError, trusted_networks
from stepwell.settings import Settings, SettingsError, masked

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_COOKIE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 6265 §4.1.1: a token
_TOKEN_SETTINGS: Final = ("jwt_issuer", "jwt_audience", "jwt_jwks", "jwt_secret")


def takes_tokens(settings: Settings) -> bool:
    """Whether somebody set tokens up, if only in part."""
    return any(getattr(settings, name) for name in _TOKEN_SETTINGS)


def token_verifier(settings: Settings) -> Verifier | None:
    """What verifies tokens; None when they are not set up. Raises `SettingsError`."""
    if not takes_tokens(settings):
        return None
    _check_complete(settings)
    from stepwell.security.jwks import JwksError, KeySet, check_file, reader_of  # here, since cryptography takes
    from stepwell.security.tokens import TokenSettingsError, TokenVerifier  # 0.2 s to import

    try:
        check_file(settings.jwt_jwks)
        keys = KeySet(reader_of(settings.jwt_jwks)) if settings.jwt_jwks else None
        return TokenVerifier(_token_rules(settings), keys=keys, secret=settings.jwt_secret.encode())
    except JwksError as fault:
        raise SettingsError(f"jwt_jwks: {fault}") from None
    except TokenSettingsError as fault:
        raise SettingsError(str(fault)) from None


def access_rules(settings: Settings) -> AccessRules:
    """Where credentials may stand, and who is let in without. Raises `SettingsError`."""
    if not _COOKIE.fullmatch(settings.auth_cookie):
        raise SettingsError(f"auth_cookie: expected the name of a cookie, found {settings.auth_cookie!r}")
    try:
        networks = trusted_networks(settings.trusted_networks)
    except NetworkError as fault:
        raise SettingsError(f"trusted_networks: {fault}") from None
    own = public_origin(settings)
    return AccessRules(
        bind=settings.host,
        configured=takes_tokens(settings),
        cookie_name=settings.auth_cookie,
        query_tokens=settings.auth_query_tokens,
        networks=networks,
        origins=(*cors_origins(settings), *([own] if own else [])),
    )


def cors_origins(settings: Settings) -> tuple[str, ...]:
    """The pages that may use the server from a browser, cookies included: so each by name. Raises `SettingsError`."""
    for text in settings.cors_origins:
        if not _ORIGIN.fullmatch(text):
            raise SettingsError(f"cors_origins: expected origins like https://app.example, found {text!r}")
    return settings.cors_origins


def public_origin(settings: Settings) -> str:
    """The origin of `public_url`; "" when that is not set. Raises `SettingsError`."""
    if not settings.public_url:
        return ""
    parts = urlsplit(settings.public_url.lower())
    origin = f"{parts.scheme}://{parts.netloc}"
    if not _ORIGIN.fullmatch(origin):
        raise SettingsError(f"public_url: expected a URL like https://flows.example, found {settings.public_url!r}")
    return origin


def egress_rules(settings: Settings) -> EgressRules:
    """What may be called for a document or a URL that came through a door. Raises `SettingsError`."""
    try:
        allowed, denied = parse_exceptions(settings.egress_allow), parse_networks(settings.egress_deny)
    except EgressSettingsError as fault:
        raise SettingsError(str(fault)) from None
    schemes = ("https", "http") if settings.egress_http else ("https",)
    return EgressRules(schemes=schemes, ports=settings.egress_ports, allowed=allowed, denied=denied)


def agent_rules(settings: Settings) -> EgressRules:
    """Of all addresses the one of `agent_base_url`, wherever that is: its operator set it. Raises `SettingsError`."""
    expected = "agent_base_url: expected a URL like https://models.example/v1"
    try:
        parts = urlsplit(settings.agent_base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
            raise SettingsError(f"{expected}, found {masked(settings.agent_base_url)!r}")
        allowed = parse_exceptions([f"{host}:{port}"])
    except (ValueError, EgressSettingsError):
        raise SettingsError(f"{expected}, found {masked(settings.agent_base_url)!r}") from None
    return EgressRules(schemes=(), ports=(), allowed=allowed, denied=egress_rules(settings).denied)


def _check_complete(settings: Settings) -> None:
    """Half of what tokens need lets nobody in, or worse: it is said, not guessed at. Raises `SettingsError`."""
    found = next(name for name in _TOKEN_SETTINGS if getattr(settings, name))
    for name in ("jwt_issuer", "jwt_audience"):
        if not getattr(settings, name):
            raise SettingsError(f"{found} is set, and {name} is not: tokens need both")
    if not settings.jwt_jwks and not settings.jwt_secret:
        raise SettingsError(f"{found} is set, and no key is: tokens need jwt_jwks (public keys) or jwt_secret")


def _token_rules(settings: Settings) -> TokenRules:
    return TokenRules(
        issuer=settings.jwt_issuer,
        audiences=settings.jwt_audience,
        algorithms=settings.jwt_algorithms,
        leeway_s=settings.jwt_leeway_s,
        roles_claims=settings.jwt_roles_claims,
        organisations_claims=settings.jwt_organisations_claims,
        display_claims=settings.jwt_display_claims,
        scopes_claim=settings.jwt_scopes_claim,
        admin_role=settings.jwt_admin_role,
    )
