"""JSON Web Tokens (RFC 7519) by the rules of RFC 8725: the key decides the algorithm, never the token's header.

The signature is checked by PyJWT, one algorithm and one key at a time; everything before it (which header is let
near a key) and after it (`claims`) is decided here.
"""

import base64
import binascii
import re
from typing import Any, Final

import jwt
import msgspec

from stepwell.core.errors import StepwellError
from stepwell.core.principal import Principal
from stepwell.security.claims import TokenRules, check_claims, principal_of
from stepwell.security.jwks import PUBLIC_KEY_ALGORITHMS, KeySet
from stepwell.security.refusals import AccessError, Reason

MAX_CHARACTERS: Final = 16 * 1024
MIN_SECRET_BYTES: Final = 32
"""HS256 asks for a key of at least 256 bit (RFC 7518 §3.2)."""
SHARED: Final = "HS256"

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES: Final = ("jwt", "at+jwt", "application/at+jwt", "application/jwt")
_KEYS_IN_HEADER: Final = ("jku", "jwk", "x5u", "x5c")
"""Keys, or places of keys, that the sender chose. None is looked at; a token that has one is refused.

`x5t` is a mere name of a key (Entra ID sends it) and is ignored.
"""
_EXTENSIONS: Final = ("crit", "b64", "enc", "zip", "cty")

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class TokenSettingsError(StepwellError):
    """Settings with which tokens could not be checked safely."""


class TokenVerifier:
    """Verifies tokens of one issuer, by its public keys, a shared secret, or both."""

    def __init__(self, rules: TokenRules, *, keys: KeySet | None = None, secret: bytes = b"") -> None:
        _check_settings(rules, keys, secret)
        self._rules = rules
        self._keys = keys
        self._secret = secret
        self._jws = jwt.PyJWS()

    async def verify(self, token: str, now: float) -> Principal:
        """The principal of a valid token. Raises `AccessError` with the reason for any other."""
        header, payload = _parts(token)
        _check_header(header)
        algorithm, key = await self._key(header, now)
        self._check_signature(token, key, algorithm)
        claims = _object(payload)
        check_claims(claims, self._rules, now)
        return principal_of(claims, self._rules)

    async def _key(self, header: dict[str, Any], now: float) -> tuple[str, Any]:
        """The key that may have signed this. A shared secret serves HS256 only, a public key never does."""
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == SHARED and self._secret:
            return SHARED, self._secret
        if algorithm not in self._rules.algorithms or self._keys is None:
            raise AccessError(Reason.ALGORITHM_NOT_ALLOWED, "the token is signed with an algorithm not in use here")
        if kid is not None and not isinstance(kid, str):
            raise AccessError(Reason.TOKEN_MALFORMED, "the token's kid is no text")
        return algorithm, (await self._keys.find(kid, algorithm, now)).key

    def _check_signature(self, token: str, key: Any, algorithm: str) -> None:
        try:
            self._jws.decode(token, key, algorithms=[algorithm])
        except jwt.InvalidSignatureError:
            raise AccessError(Reason.SIGNATURE_INVALID, "the token's signature is wrong") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise AccessError(Reason.TOKEN_MALFORMED, "the token cannot be read") from None


def _check_settings(rules: TokenRules, keys: KeySet | None, secret: bytes) -> None:
    """Raises `TokenSettingsError`."""
    if keys is None and not secret:
        raise TokenSettingsError("expected a key set or a shared secret for tokens, found none")
    if not rules.issuer or not rules.audiences or not all(rules.audiences):
        raise TokenSettingsError("expected an issuer and an audience for tokens")
    if secret and len(secret) < MIN_SECRET_BYTES:
        raise TokenSettingsError(
            f"jwt_secret: expected at least {MIN_SECRET_BYTES} bytes (RFC 7518 §3.2), found {len(secret)}"
        )
    if b"-----BEGIN" in secret or secret.startswith(b"ssh-"):
        raise TokenSettingsError("jwt_secret: expected a shared secret, found a key that others may know")
    unknown = set(rules.algorithms) - set(PUBLIC_KEY_ALGORITHMS)
    if unknown:
        raise TokenSettingsError(
            f"jwt_algorithms: expected some of {', '.join(PUBLIC_KEY_ALGORITHMS)}, found {', '.join(unknown)}"
        )
    if not 0 <= rules.leeway_s <= 60:
        raise TokenSettingsError(f"jwt_leeway_s: expected 0 to 60 seconds, found {rules.leeway_s:g}")


def _check_header(header: dict[str, Any]) -> None:
    """RFC 8725 §3.1, §3.10, §3.11. We understand no extension, so `crit` can name none (RFC 7515 §4.1.11)."""
    if not isinstance(header.get("alg"), str):
        raise AccessError(Reason.ALGORITHM_NOT_ALLOWED, "the token names no algorithm")
    for name in (*_KEYS_IN_HEADER, *_EXTENSIONS):
        if name in header:
            raise AccessError(Reason.HEADER_NOT_ALLOWED, f"the token's header has {name}")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise AccessError(Reason.WRONG_TOKEN_TYPE, "expected an access token (typ in the header)")


def _parts(token: str) -> tuple[dict[str, Any], bytes]:
    """The header as an object, the payload as bytes."""
    if len(token) > MAX_CHARACTERS or not _COMPACT.fullmatch(token):
        raise AccessError(Reason.TOKEN_MALFORMED, "expected a signed token in compact form")
    header, payload, signature = (_bytes(part) for part in token.split("."))
    if not signature:
        raise AccessError(Reason.TOKEN_MALFORMED, "expected a signed token in compact form")
    return _object(header), payload


def _bytes(part: str) -> bytes:
    """Base64url without padding (RFC 7515 §2), and only in its one canonical spelling."""
    try:
        found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        found = b""
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != part:
        raise AccessError(Reason.TOKEN_MALFORMED, "expected a signed token in compact form")
    return found


def _object(data: bytes) -> dict[str, Any]:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AccessError(Reason.TOKEN_MALFORMED, "expected JSON objects in the token") from None
