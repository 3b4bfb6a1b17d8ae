"""From a request to a principal, or to the reason why not: one function for all doors.

The order is: find the one credential, or decide that none is needed; verify it; then what the principal may do here
(cross-site, organisation, scope). A credential that is there and wrong is refused even where none is needed.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from stepwell.core.errors import StorageError
from stepwell.core.principal import LOCAL, Principal, Scope
from stepwell.security.call import QUERY_NAME, Call, Source
from stepwell.security.claims import ORGANISATION_OWNER
from stepwell.security.keys import is_key
from stepwell.security.loopback import Network, is_trusted, may_be_anonymous
from stepwell.security.origins import check_origin
from stepwell.security.refusals import AccessError, Reason, Refusal

log = structlog.get_logger()
ORGANISATION: Final = "x-active-org"
DEFAULT_SOURCES: Final[tuple[Source, ...]] = ("authorization", "x-api-key")
MAX_ORGANISATION: Final = 255
_CARRIERS: Final = frozenset({"cookie", "authorization", "x-api-key", "api-key"})
"""Headers that may hold a credential."""


class Verifier(Protocol):
    """Turns a credential into a principal (`TokenVerifier`, `ApiKeys`)."""

    async def verify(self, text: str, now: float, /) -> Principal:
        """Raises `AccessError`."""


class DoorRules(msgspec.Struct, frozen=True, kw_only=True):
    """Where a door looks for credentials, and what it lets in without.

    `streams` says which GET paths are streams: only these may have their token in the query. `is_open` says which
    paths need no principal at all (probes, callbacks whose path is the credential). `socket_scope` is what a
    WebSocket needs: where it only shows, and asks again before it changes anything, `read` is enough.
    """

    sources: tuple[Source, ...] = DEFAULT_SOURCES
    takes_internal: bool = False
    streams: Callable[[str], bool] = lambda _path: False
    is_open: Callable[[str], bool] = lambda _path: False
    socket_scope: Scope = "write"


class AccessRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the whole server. `bind` is the address it listens on; `configured`: somebody set up tokens or
    made an API key, so that nobody is anonymous any more (keys may also come later: `Authenticator.has_keys`).
    """

    bind: str
    configured: bool
    cookie_name: str = "token"
    query_tokens: bool = False
    networks: tuple[Network, ...] = ()
    origins: tuple[str, ...] = ()


class Credential(msgspec.Struct, frozen=True):
    """What was sent to say who asks, and where it stood."""

    source: Source
    text: str


class Authenticator:
    """Authenticates by these rules. Without `tokens` no JWT is accepted, without `keys` no API key.

    `has_keys` says whether there is an API key by now; from the first one on nobody is anonymous.
    """

    def __init__(
        self,
        rules: AccessRules,
        *,
        tokens: Verifier | None = None,
        keys: Verifier | None = None,
        has_keys: Callable[[float], Awaitable[bool]] | None = None,
    ) -> None:
        self._rules = rules
        self._tokens = tokens
        self._keys = keys
        self._has_keys = has_keys

    async def authenticate(self, call: Call, door: DoorRules, now: float) -> Principal | Refusal:
        """Who asks, with the organisation it asks for; or why it is not let in."""
        try:
            credential = find_credential(call, door, self._rules)
            if credential is None:
                principal = without_credential(call, door, await self._rules_now(now))
            else:
                principal = await self._verify(credential, now)
            by_itself = credential is None or credential.source == "cookie"
            if by_itself:
                check_origin(call, allowed=self._rules.origins, proof=credential is not None)
            _check_scope(principal, _scope_of(call, door))
            return with_organisation(principal, call)
        except AccessError as refused:
            return refused.refusal
        except StorageError as fault:  # nobody knows yet who asks
            log.warning("access.store_failed", error=str(fault))
            return Refusal(reason=Reason.KEYS_UNAVAILABLE, detail=fault.told, retry_after_s=1)

    async def _rules_now(self, now: float) -> AccessRules:
        """An API key may have been made since the server started: then the anonymous way is closed for good."""
        if not self._rules.configured and self._has_keys is not None and await self._has_keys(now):
            self._rules = msgspec.structs.replace(self._rules, configured=True)
        return self._rules

    async def _verify(self, credential: Credential, now: float) -> Principal:
        wants_key = is_key(credential.text) or credential.source in ("x-api-key", "api-key")
        verifier = self._keys if wants_key else self._tokens
        if verifier is None:
            kind = "API keys" if wants_key else "tokens"
            raise AccessError(Reason.TOKEN_NOT_ACCEPTED, f"this server accepts no {kind}")
        return await verifier.verify(credential.text, now)


def find_credential(call: Call, door: DoorRules, rules: AccessRules) -> Credential | None:
    """The one credential of a request, in the door's order; None when there is none.

    Several that differ are refused: whichever is taken, somebody meant the other. Raises `AccessError`.
    """
    if not call.query and _CARRIERS.isdisjoint(call.headers):
        return None
    found = [Credential(source, text) for source in door.sources for text in _sent(call, source, rules)]
    for credential in found:
        _check_place(credential, call, door, rules)
    if len({credential.text for credential in found}) > 1:
        raise AccessError(Reason.AMBIGUOUS_CREDENTIALS, "expected one credential, found several that differ")
    return found[0] if found else None


def without_credential(call: Call, door: DoorRules, rules: AccessRules) -> Principal:
    """Who asks without saying so: the local principal, an internal caller, else nobody. Raises `AccessError`."""
    if may_be_anonymous(call, bind=rules.bind, configured=rules.configured):
        return LOCAL
    if door.takes_internal and is_trusted(call, rules.networks):
        named = _organisation(call)
        if not named:
            raise AccessError(
                Reason.ORGANISATION_REQUIRED, f"an internal caller names its organisation in {ORGANISATION}"
            )
        return Principal(
            type="internal",
            id="internal",
            owner=ORGANISATION_OWNER + named,
            organisations=(named,),
            roles=("internal",),
            display=f"internal for {named}",
        )
    raise AccessError(Reason.MISSING_CREDENTIAL, "expected a token or an API key")


def with_organisation(principal: Principal, call: Call) -> Principal:
    """The principal as acting for one organisation: the one named, else its only one.

    The header alone grants nothing: a person may name what the credential says they belong to. Raises `AccessError`.
    """
    named = _organisation(call)
    if not named:
        only = principal.organisations[0] if len(principal.organisations) == 1 else ""
        if only == principal.organisation:
            return principal
        return msgspec.structs.replace(principal, organisation=only)
    if principal.type != "local" and named not in principal.organisations:
        raise AccessError(Reason.ORGANISATION_NOT_ALLOWED, f"{ORGANISATION} names an organisation of others")
    return msgspec.structs.replace(principal, organisation=named)


def _sent(call: Call, source: Source, rules: AccessRules) -> Sequence[str]:
    match source:
        case "cookie":
            return call.cookies(rules.cookie_name)
        case "query":
            return call.parameters(QUERY_NAME)
        case "authorization":
            return [_bearer(value) for value in call.all("authorization")]
        case _:
            return call.all(source)


def _bearer(value: str) -> str:
    """RFC 6750 §2.1; the scheme's name is in any case (RFC 9110 §11.1)."""
    scheme, _, text = value.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise AccessError(Reason.UNSUPPORTED_SCHEME, "expected Authorization: Bearer")
    return text.strip()


def _check_place(credential: Credential, call: Call, door: DoorRules, rules: AccessRules) -> None:
    """A token in a URL ends up in logs and histories (RFC 9700 §4.3.2): only where nothing else works."""
    if credential.source != "query":
        return
    if not rules.query_tokens or call.method != "GET" or call.websocket or not door.streams(call.path):
        raise AccessError(Reason.TOKEN_IN_QUERY, f"?{QUERY_NAME}= is not taken here: send the header Authorization")


def _scope_of(call: Call, door: DoorRules) -> Scope:
    if call.websocket:
        return door.socket_scope
    return "write" if call.unsafe else "read"


def _check_scope(principal: Principal, scope: Scope) -> None:
    if not principal.may(scope):
        raise AccessError(Reason.INSUFFICIENT_SCOPE, f"the credential lacks the scope {scope}")


def _organisation(call: Call) -> str:
    """The organisation that was named; "" when none."""
    sent = call.all(ORGANISATION)
    if not sent:
        return ""
    named = [value.strip() for value in sent]
    if len(set(named)) > 1 or any(len(one) > MAX_ORGANISATION or not one.isprintable() for one in named):
        raise AccessError(Reason.ORGANISATION_AMBIGUOUS, f"expected one organisation in {ORGANISATION}")
    return named[0]
