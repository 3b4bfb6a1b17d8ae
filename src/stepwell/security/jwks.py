"""Public keys of an issuer: a JWKS from a URL or a file, cached, read again when a token names a key we lack.

One key, one algorithm (RFC 8725 §3.1): the key's own `alg`, else the one of its kind. Symmetric and private keys in a
set are ignored: whoever can read the set could sign with them.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from stepwell.core.errors import StepwellError
from stepwell.security.refusals import AccessError, Reason

log = structlog.get_logger()

Read = Callable[[], Awaitable[bytes]]
"""Gets the text of the set. Raises `JwksError`."""

MAX_BYTES: Final = 512 * 1024
MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2048  # RFC 7518 §3.3
FETCH_TIMEOUT_S: Final = 10.0

KEEP_S: Final = 3600.0
"""A set is read again after this, so that a key its issuer took back is not trusted for long."""
AGAIN_S: Final = 60.0
"""Least time between two reads, whatever tokens come: unknown keys must not become a flood to the issuer."""
TRUST_S: Final = 24 * 3600.0
"""How long an old set is trusted while its issuer cannot be reached."""

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {("EC", "P-256"): "ES256", ("EC", "P-384"): "ES384", ("EC", "P-521"): "ES512",
                  ("OKP", "Ed25519"): "EdDSA"}  # fmt: skip
PUBLIC_KEY_ALGORITHMS: Final = (*_RSA, *_CURVES.values())


class JwksError(StepwellError):
    """The set cannot be read, or is none."""


class VerifyingKey(msgspec.Struct, frozen=True):
    """A public key, and the only algorithm it verifies."""

    kid: str | None
    algorithm: str
    key: Any


class KeySet:
    """The keys of one issuer. Safe for concurrent use: one read at a time."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._keys: list[VerifyingKey] = []
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str, now: float) -> VerifyingKey:
        """The key for this token. Raises `AccessError` (`key_unknown`, `keys_unavailable`)."""
        if self._read_at is None or now - self._read_at > KEEP_S:
            await self._refresh(now)
        found = self._known(kid, algorithm)
        if found is None and await self._refresh(now):
            found = self._known(kid, algorithm)
        if self._read_at is None or now - self._read_at > TRUST_S:
            raise AccessError(
                Reason.KEYS_UNAVAILABLE,
                "the keys of the token's issuer cannot be read now",
                retry_after_s=int(AGAIN_S),
            )
        if found is None:
            raise AccessError(Reason.KEY_UNKNOWN, "the token names no key of the configured issuer")
        return found

    def _known(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """By `kid`; a token without one is served by an only key of its algorithm."""
        fitting = [key for key in self._keys if key.algorithm == algorithm and (kid is None or key.kid == kid)]
        return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None

    async def _refresh(self, now: float) -> bool:
        """Read the set, unless that was tried a moment ago; whether it was read."""
        async with self._lock:
            if self._tried_at is not None and 0 <= now - self._tried_at < AGAIN_S:
                return False
            self._tried_at = now
            try:
                self._keys = parse_jwks(await self._read())
            except JwksError as fault:
                log.warning("jwks.not_read", error=str(fault))
                return False
            self._read_at = now
            return True


def parse_jwks(data: bytes) -> list[VerifyingKey]:
    """The usable keys of a set (RFC 7517 §5: others are ignored). Raises `JwksError` when there is none."""
    if len(data) > MAX_BYTES:
        raise JwksError(f"expected a key set of at most {MAX_BYTES} bytes")
    try:
        entries = msgspec.json.decode(data, type=dict[str, Any]).get("keys")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise JwksError("expected a JSON object with keys (RFC 7517)") from None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise JwksError(f"expected a list of at most {MAX_KEYS} keys")
    found = [key for entry in entries if isinstance(entry, dict) and (key := _usable(entry)) is not None]
    if not found:
        raise JwksError("expected a public key for signatures in the set, found none")
    return found


def _usable(entry: dict[str, Any]) -> VerifyingKey | None:
    algorithm = _algorithm(entry)
    operations = entry.get("key_ops", ["verify"])
    if algorithm is None or "d" in entry or entry.get("use", "sig") != "sig" or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return None
    kid = entry.get("kid")
    return VerifyingKey(kid if isinstance(kid, str) else None, algorithm, key)


def _algorithm(entry: dict[str, Any]) -> str | None:
    """The one algorithm of a key; None when it has none that we use."""
    declared = entry.get("alg")
    if entry.get("kty") == "RSA":
        return (declared if declared in _RSA else None) if declared is not None else "RS256"
    own = _CURVES.get((str(entry.get("kty")), str(entry.get("crv"))))
    return own if declared in (None, own) else None


def reader_of(place: str) -> Read:
    """How to read the set at an `https://` URL or a file's path. The operator names it, no user does.

    Plain `http://` is for loopback only: whoever can change the answer can sign as anybody. Raises `JwksError`.
    """
    scheme = _scheme(place)
    host = urlsplit(place).hostname or "" if scheme != "file" else ""
    if scheme == "https" or (scheme == "http" and _is_loopback(host)):
        return lambda: _fetch(place)
    if scheme != "file":
        raise JwksError(f"expected an https:// URL or a file for the key set, found {scheme}://")
    return lambda: asyncio.to_thread(_load, _path(place))


def check_file(place: str) -> None:
    """A set in a file has to be there and good when the server starts; an issuer may be away. Raises `JwksError`."""
    if place and _scheme(place) == "file":
        parse_jwks(_load(_path(place)))


def _scheme(place: str) -> str:
    return urlsplit(place).scheme if "://" in place else "file"


def _path(place: str) -> Path:
    return Path(place.removeprefix("file://"))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _fetch(url: str) -> bytes:
    import httpx  # here, since a server without tokens never needs it (0.1 s)

    found = b""
    try:
        async with (
            httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status_code != 200:
                raise JwksError(f"{url}: expected status 200, found {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                found += chunk
                if len(found) > MAX_BYTES:
                    raise JwksError(f"{url}: expected at most {MAX_BYTES} bytes")
    except httpx.HTTPError as fault:
        raise JwksError(f"{url}: {fault or type(fault).__name__}") from fault
    return found


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as fault:
        raise JwksError(f"{path} cannot be read ({fault.strerror})") from fault
