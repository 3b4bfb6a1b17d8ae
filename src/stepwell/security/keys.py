"""API keys: `ap_<id>_<secret>`, shown once, kept as a hash, scoped, expiring, revocable at once.

The hash is one SHA-256. Slow hashes (argon2, bcrypt) protect what people can remember; a secret of 256 random bits
cannot be guessed from its hash at any speed, and a slow hash on every request would only slow us (NIST SP 800-63B
§5.1.2.2 asks for no salt or stretching from 112 bits on).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
import structlog

from stepwell.core.errors import StorageError
from stepwell.core.principal import READ_WRITE, Principal, Scope
from stepwell.security.refusals import AccessError, Reason

log = structlog.get_logger()

KIND: Final = "api_key"
PREFIX: Final = "ap_"
SECRET_BYTES: Final = 32
USED_EVERY_S: Final = 60.0
"""`last_used_at` is this exact: a write per request would cost a commit each."""
MAX_KEYS: Final = 10_000
LOOK_EVERY_S: Final = 0.1
"""So long after the first key was made, by whatever process, the server asks everybody for one: before the command
that made it has ended. A look takes 16 µs, a tenth of a small request.
"""

_FORM: Final = re.compile(r"ap_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NO_DIGEST: Final = "0" * 64


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key as it is kept: everything but the key. Instants: seconds since the epoch. Acts for `owner`."""

    id: str
    name: str
    owner: str
    digest: str
    created_at: float
    scopes: tuple[Scope, ...] = READ_WRITE
    roles: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def state(self, now: float) -> str:
        """active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class Row(Protocol):
    """What the store keeps: a small versioned document."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def data(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=Row)


class Rows(Protocol[R]):
    """The store's small documents (`store.port.Documents` is one)."""

    async def get_records(self, kind: str, *, id: str = "", limit: int = 1000) -> Sequence[R]: ...

    async def put_record(self, record: R, *, expect_version: int | None = None) -> bool: ...


class ApiKeys(Generic[R]):
    """The keys of a store. `row` makes one of its documents (`store.model.Record`). Nothing is cached: a revoked key
    is refused by every server of the store from the next request on.
    """

    def __init__(self, rows: Rows[R], *, row: Callable[..., R]) -> None:
        self._rows = rows
        self._row = row

    async def create(self, key: ApiKey) -> bool:
        """Keep a new key, made with `new_key`; False when its id is taken."""
        return await self._put(key, version=1, expect=0)

    async def list(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        rows = await self._rows.get_records(KIND, limit=MAX_KEYS)
        return sorted((_key(row) for row in rows), key=lambda key: key.created_at)

    async def exist(self) -> bool:
        """Whether a key was ever made here: then somebody wants authentication."""
        return bool(await self._rows.get_records(KIND, limit=1))

    async def revoke(self, id: str, now: float) -> ApiKey | None:
        """Take a key back, at once and for good; None when there is none. Revoking twice keeps the first instant."""
        while True:
            row = await self._find(id)
            if row is None or _key(row).revoked_at is not None:
                return _key(row) if row else None
            revoked = msgspec.structs.replace(_key(row), revoked_at=now)
            if await self._put(revoked, version=row.version + 1, expect=row.version):
                return revoked

    async def verify(self, text: str, now: float) -> Principal:
        """The principal of a key that is good now. Raises `AccessError`."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise AccessError(Reason.API_KEY_INVALID, "the API key is not known")
        row = await self._find(form[1])
        key = _key(row) if row else None
        # Compared also when there is no such key, and in constant time: nothing is learned from how long it takes.
        same = hmac.compare_digest(key.digest if key else _NO_DIGEST, digest_of(text))
        if row is None or key is None or not same:
            raise AccessError(Reason.API_KEY_INVALID, "the API key is not known")
        if key.revoked_at is not None:
            raise AccessError(Reason.API_KEY_REVOKED, "the API key was revoked")
        if key.expires_at is not None and key.expires_at <= now:
            raise AccessError(Reason.API_KEY_EXPIRED, "the API key has expired")
        await self._note_use(key, row.version, now)
        return principal_of(key)

    async def _note_use(self, key: ApiKey, version: int, now: float) -> None:
        """Only over the version that was read, so that a revocation in between stands."""
        if key.last_used_at is not None and now - key.last_used_at < USED_EVERY_S:
            return
        try:
            await self._put(msgspec.structs.replace(key, last_used_at=now), version=version + 1, expect=version)
        except StorageError as fault:  # a store that only reads (a full disk) must still know its callers
            log.warning("api_key.use_not_noted", key=key.id, error=str(fault))

    async def _find(self, id: str) -> R | None:
        return next(iter(await self._rows.get_records(KIND, id=id, limit=1)), None)

    async def _put(self, key: ApiKey, *, version: int, expect: int) -> bool:
        row = self._row(kind=KIND, id=key.id, owner=key.owner, version=version, data=msgspec.to_builtins(key))
        return await self._rows.put_record(row, expect_version=expect)


class FirstKey:
    """Whether a key was ever made, asked of the store now and then: this stands in every anonymous call."""

    def __init__(self, exist: Callable[[], Awaitable[bool]]) -> None:
        self._exist = exist
        self._looked_at: float | None = None
        self._made = False

    async def made(self, now: float) -> bool:
        """Keys are revoked, never deleted: once there was one, that stays."""
        if not self._made and (self._looked_at is None or not 0 <= now - self._looked_at < LOOK_EVERY_S):
            try:
                self._made = await self._exist()
            except StorageError:  # a store that is away has no new keys; what must work without it still does
                if self._looked_at is None:
                    raise
            self._looked_at = now
        return self._made


def new_key(name: str, *, now: float, owner: str = "", **rest: Any) -> tuple[ApiKey, str]:
    """A fresh key and its text, which exists nowhere else. Without an owner it acts for one of its own name."""
    id = secrets.token_hex(8)
    text = f"{PREFIX}{id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return ApiKey(id=id, name=name, owner=owner or name, digest=digest_of(text), created_at=now, **rest), text


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def principal_of(key: ApiKey) -> Principal:
    """A key acts for its owner (see `Principal.id`)."""
    return Principal(
        type="api_key",
        id=key.owner,
        owner=key.owner,
        organisations=key.organisations,
        roles=key.roles,
        scopes=key.scopes,
        display=key.name,
        credential=key.id,
    )


def is_key(text: str) -> bool:
    """Whether a credential means to be an API key, by its prefix."""
    return text.startswith(PREFIX)


def _key(row: Row) -> ApiKey:
    data: Mapping[str, Any] = row.data
    return msgspec.convert(data, ApiKey)
