"""What the claims of a verified token say: whether it is for us and for now, and who it stands for.

Checked here and not by the library, because time is a parameter with us, because every refusal has its reason, and
because `int("9999999999")`, `True` and infinity are no instants (RFC 7519 §2, NumericDate).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from stepwell.core.approvals import ROLE
from stepwell.core.principal import READ_WRITE, Principal, Scope
from stepwell.security.refusals import AccessError, Reason

Claims = Mapping[str, Any]

MAX_SUBJECT: Final = 255  # OpenID Connect Core 1.0 §2
ORGANISATION_OWNER: Final = "org:"
"""Owners that begin so belong to organisations, not to persons: no token may claim one."""
RESERVED: Final = (ORGANISATION_OWNER, ROLE)
"""No person is called so: approvals name people and roles side by side, and `role:boss` is whoever is a boss."""
_ACCESS_TYPES: Final = ("bearer", "access", "at+jwt")
_SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a token must say, and where it says what. Claims are names, or paths with dots.

    `algorithms` are those allowed for public keys; a shared secret is always HS256. `scopes_claim` empty: a token may
    read and write. Whoever has `admin_role` sees and steers the runs of all owners.
    """

    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    leeway_s: float = 30.0
    roles_claims: tuple[str, ...] = ("realm_access.roles", "roles")
    organisations_claims: tuple[str, ...] = ("organizations", "organization", "org_id")
    display_claims: tuple[str, ...] = ("preferred_username", "name", "email")
    scopes_claim: str = ""
    admin_role: str = ""


def check_claims(claims: Claims, rules: TokenRules, now: float) -> None:
    """Issuer, audience, kind and times. Raises `AccessError`."""
    _check_times(claims, rules.leeway_s, now)
    if _required(claims, "iss") != rules.issuer:
        raise AccessError(Reason.WRONG_ISSUER, "the token comes from another issuer")
    if not set(_audiences(_required(claims, "aud"))) & set(rules.audiences):
        raise AccessError(Reason.WRONG_AUDIENCE, "the token is meant for another audience")
    _check_kind(claims)


def principal_of(claims: Claims, rules: TokenRules) -> Principal:
    """Who the token stands for. Raises `AccessError`."""
    subject = _subject(claims)
    roles = _all_texts(claims, rules.roles_claims)
    return Principal(
        type="user",
        id=subject,
        owner=subject,
        organisations=_all_texts(claims, rules.organisations_claims),
        roles=roles,
        scopes=_scopes(claims, rules, roles),
        display=next((text for name in rules.display_claims for text in _texts(_at(claims, name))), subject),
    )


def _check_times(claims: Claims, leeway_s: float, now: float) -> None:
    """RFC 7519 §4.1.4 to 4.1.6: `exp` is required, `nbf` and `iat` count where they are."""
    if _instant(_required(claims, "exp"), "exp") + leeway_s <= now:
        raise AccessError(Reason.TOKEN_EXPIRED, "the token has expired")
    for name in ("nbf", "iat"):
        if name in claims and _instant(claims[name], name) - leeway_s > now:
            raise AccessError(Reason.TOKEN_NOT_YET_VALID, f"the token is not valid yet ({name})")


def _check_kind(claims: Claims) -> None:
    """ID and refresh tokens are for their client, not for us (RFC 8725 §3.12). Keycloak says `typ`, Cognito
    `token_use`; OpenID Connect puts `at_hash` or `c_hash` into ID tokens only.
    """
    for name in ("typ", "token_use"):
        kind = claims.get(name, "bearer")
        if not isinstance(kind, str) or kind.lower() not in _ACCESS_TYPES:
            raise AccessError(Reason.WRONG_TOKEN_TYPE, f"expected an access token ({name})")
    if "at_hash" in claims or "c_hash" in claims:
        raise AccessError(Reason.WRONG_TOKEN_TYPE, "expected an access token, found an ID token")


def _required(claims: Claims, name: str) -> Any:
    if claims.get(name) is None:
        raise AccessError(Reason.CLAIM_MISSING, f"the token lacks the claim {name}")
    return claims[name]


def _instant(value: Any, name: str) -> float:
    # A bool is an int in Python. The bound is the year 33658: it tells milliseconds, and keeps 10**400 off `float`.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        raise AccessError(Reason.CLAIM_INVALID, f"the claim {name} is no instant")
    return float(value)


def _audiences(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise AccessError(Reason.CLAIM_INVALID, "the claim aud is no text and no list of texts")
    return found


def _subject(claims: Claims) -> str:
    subject = _required(claims, "sub")
    wrong = not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable()
    if wrong or subject != subject.strip() or subject.startswith(RESERVED):
        raise AccessError(Reason.CLAIM_INVALID, "the claim sub names no person")
    return str(subject)


def _scopes(claims: Claims, rules: TokenRules, roles: tuple[str, ...]) -> tuple[Scope, ...]:
    if rules.admin_role and rules.admin_role in roles:
        return _SCOPES
    if not rules.scopes_claim:
        return READ_WRITE
    given = {word for text in _texts(_at(claims, rules.scopes_claim)) for word in text.split()}
    return tuple(scope for scope in _SCOPES if scope in given)


def _all_texts(claims: Claims, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for name in names for text in _texts(_at(claims, name))))


def _at(claims: Claims, path: str) -> Any:
    """A claim by its whole name (which may hold dots, as in `https://example.org/roles`), else by path."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: Any) -> list[str]:
    """A text, a list of texts, or the keys of an object (Keycloak's `organization`). Anything else says nothing."""
    found = [value] if isinstance(value, str) else list(value) if isinstance(value, list | Mapping) else []
    return [text for text in found if isinstance(text, str) and text]
