"""Who a request stands for: credentials and their places, loopback, internal callers, cross-site, scopes."""

from typing import Any

import pytest

from stepwell.core.errors import StorageUnavailableError
from stepwell.core.history import Actor
from stepwell.core.principal import LOCAL, Principal, Scope
from stepwell.security.authentication import AccessRules, Authenticator, DoorRules
from stepwell.security.call import Call, without_token
from stepwell.security.loopback import NetworkError, trusted_networks
from stepwell.security.refusals import AccessError, Reason, Refusal

from .tokens import NOW

KEY = "ap_0123456789abcdef_" + "k" * 43
RUNS = DoorRules(
    sources=("cookie", "query", "authorization", "x-api-key"),
    takes_internal=True,
    streams=lambda path: path.endswith("/stream"),
)
AGENTS = DoorRules(sources=("x-api-key", "api-key", "authorization"))
LOCKED = AccessRules(bind="0.0.0.0", configured=True)
OPEN = AccessRules(bind="127.0.0.1", configured=False)


class Known:
    """Knows one credential and whom it stands for."""

    def __init__(self, text: str, **members: Any) -> None:
        self.text = text
        self.principal = Principal(**{"type": "user", "id": "ada", "owner": "ada", **members})

    async def verify(self, text: str, _now: float, /) -> Principal:
        if text != self.text:
            raise AccessError(Reason.SIGNATURE_INVALID, "wrong")
        return self.principal


def call(method: str = "GET", path: str = "/x", *, query: str = "", peer: str | None = "203.0.113.9",
         websocket: bool = False, **headers: str) -> Call:  # fmt: skip
    names = {name.replace("_", "-"): [value] for name, value in {"host": "api.example", **headers}.items()}
    return Call(method=method, path=path, headers=names, query=query, peer=peer, websocket=websocket)


async def ask(
    asked: Call, door: DoorRules = RUNS, rules: AccessRules = LOCKED, **members: Any
) -> Principal | Refusal:
    """With a token `good` of ada's and the key `KEY` of the same."""
    authenticator = Authenticator(rules, tokens=Known("good", **members), keys=Known(KEY, **members))
    return await authenticator.authenticate(asked, door, NOW)


async def reason(asked: Call, door: DoorRules = RUNS, rules: AccessRules = LOCKED, **members: Any) -> Reason | None:
    found = await ask(asked, door, rules, **members)
    return found.reason if isinstance(found, Refusal) else None


# --- credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "headers"),
    [
        (RUNS, {"authorization": "Bearer good"}),
        (RUNS, {"authorization": "bearer  good "}),
        (RUNS, {"authorization": f"Bearer {KEY}"}),
        (RUNS, {"x_api_key": KEY}),
        (RUNS, {"cookie": "a=b; token=good; c=d"}),
        (RUNS, {"cookie": "token=good", "authorization": "Bearer good"}),
        (AGENTS, {"api_key": KEY}),
        (AGENTS, {"x_api_key": KEY, "authorization": f"Bearer {KEY}"}),
    ],
)
async def test_credential_is_found_where_the_door_looks(door: DoorRules, headers: dict[str, Any]) -> None:
    found = await ask(call(**headers), door)
    assert isinstance(found, Principal)
    assert found.id == "ada"


@pytest.mark.parametrize(
    ("door", "headers", "expected"),
    [
        (RUNS, {}, Reason.MISSING_CREDENTIAL),
        (RUNS, {"authorization": "Bearer bad"}, Reason.SIGNATURE_INVALID),
        (RUNS, {"authorization": "Bearer "}, Reason.SIGNATURE_INVALID),
        (RUNS, {"authorization": ""}, Reason.UNSUPPORTED_SCHEME),
        (RUNS, {"authorization": "good"}, Reason.UNSUPPORTED_SCHEME),
        (RUNS, {"authorization": "Basic YTpi"}, Reason.UNSUPPORTED_SCHEME),
        (RUNS, {"cookie": "token="}, Reason.SIGNATURE_INVALID),
        (RUNS, {"x_api_key": "good"}, Reason.SIGNATURE_INVALID),  # a token is no key
        (RUNS, {"x_api_key": ""}, Reason.SIGNATURE_INVALID),
        (RUNS, {"cookie": "token=bad", "authorization": "Bearer good"}, Reason.AMBIGUOUS_CREDENTIALS),
        (RUNS, {"cookie": "token=good; token=bad"}, Reason.AMBIGUOUS_CREDENTIALS),
        (RUNS, {"x_api_key": KEY, "authorization": "Bearer good"}, Reason.AMBIGUOUS_CREDENTIALS),
        (AGENTS, {"cookie": "token=good"}, Reason.MISSING_CREDENTIAL),  # not a place this door looks at
        (RUNS, {"api_key": KEY}, Reason.MISSING_CREDENTIAL),
    ],
)
async def test_wrong_or_missing_credential_is_refused(
    door: DoorRules, headers: dict[str, Any], expected: Reason
) -> None:
    assert await reason(call(**headers), door) is expected


async def test_repeated_header_is_ambiguous() -> None:
    asked = Call(headers={"authorization": ["Bearer good", "Bearer bad"]})
    assert await reason(asked) is Reason.AMBIGUOUS_CREDENTIALS


@pytest.mark.parametrize(
    ("allowed", "method", "path", "expected"),
    [
        (True, "GET", "/runs/1/stream", None),
        (False, "GET", "/runs/1/stream", Reason.TOKEN_IN_QUERY),
        (True, "GET", "/runs/1", Reason.TOKEN_IN_QUERY),
        (True, "POST", "/execute/stream", Reason.TOKEN_IN_QUERY),
    ],
)
async def test_token_in_the_query_is_for_get_streams_and_behind_a_setting(
    allowed: bool, method: str, path: str, expected: Reason | None
) -> None:
    rules = AccessRules(bind="0.0.0.0", configured=True, query_tokens=allowed)
    assert await reason(call(method, path, query="a=1&token=good"), rules=rules) is expected


async def test_token_in_the_query_of_a_door_that_does_not_look_there_is_nothing() -> None:
    assert await reason(call(query="token=good"), AGENTS) is Reason.MISSING_CREDENTIAL


def test_token_is_cut_out_of_the_query() -> None:
    assert without_token("after=3&token=se%20cret&x=&token=b") == "after=3&x="


async def test_server_without_tokens_accepts_none() -> None:
    found = await Authenticator(LOCKED, keys=Known(KEY)).authenticate(call(authorization="Bearer good"), RUNS, NOW)
    assert isinstance(found, Refusal)
    assert found.reason is Reason.TOKEN_NOT_ACCEPTED


async def test_store_that_is_away_is_our_fault_and_said_without_saying_where_it_is() -> None:
    class Away:
        async def verify(self, _text: str, _now: float, /) -> Principal:
            raise StorageUnavailableError("nobody answers at db.example", told="the database does not answer")

    found = await Authenticator(LOCKED, keys=Away()).authenticate(call(x_api_key=KEY), RUNS, NOW)
    assert isinstance(found, Refusal)
    assert (found.status, found.headers) == (503, {"Retry-After": "1"})
    assert found.detail == "the database does not answer"


def test_refusals_challenge_as_rfc_6750_says() -> None:
    missing = Refusal(reason=Reason.MISSING_CREDENTIAL, detail="x")
    wrong = Refusal(reason=Reason.TOKEN_EXPIRED, detail='the "token"\r\nhas expired')
    assert (missing.status, missing.headers) == (401, {"WWW-Authenticate": "Bearer"})
    assert wrong.headers["WWW-Authenticate"] == (
        'Bearer error="invalid_token", error_description="the tokenhas expired"'
    )
    assert Refusal(reason=Reason.INSUFFICIENT_SCOPE, detail="").status == 403


# --- anonymous on loopback (design.md §12): every row of the rule ---------------------------------------------------

LOOPBACK_TABLE = [
    # bind, configured, peer, headers, anonymous?
    ("127.0.0.1", False, "127.0.0.1", {}, True),
    ("localhost", False, "127.0.0.1", {}, True),
    ("127.0.0.5", False, "127.8.8.8", {}, True),
    ("::1", False, "::1", {}, True),
    ("[::1]", False, "::1", {}, True),
    ("::1", False, "::ffff:127.0.0.1", {}, True),
    # not bound to loopback
    ("0.0.0.0", False, "127.0.0.1", {}, False),
    ("::", False, "::1", {}, False),
    ("", False, "127.0.0.1", {}, False),
    ("10.0.0.1", False, "127.0.0.1", {}, False),
    ("localhost.example", False, "127.0.0.1", {}, False),
    # authentication is configured
    ("127.0.0.1", True, "127.0.0.1", {}, False),
    # the peer is not loopback
    ("127.0.0.1", False, "10.0.0.2", {}, False),
    ("127.0.0.1", False, "203.0.113.9", {}, False),
    ("127.0.0.1", False, "::ffff:10.0.0.2", {}, False),
    ("127.0.0.1", False, "testclient", {}, False),
    ("127.0.0.1", False, "localhost", {}, False),
    ("127.0.0.1", False, "", {}, False),
    ("127.0.0.1", False, None, {}, False),
    # somebody forwarded it
    ("127.0.0.1", False, "127.0.0.1", {"x_forwarded_for": "127.0.0.1"}, False),
    ("127.0.0.1", False, "127.0.0.1", {"x_forwarded_for": ""}, False),
    ("127.0.0.1", False, "127.0.0.1", {"x_forwarded_proto": "https"}, False),
    ("127.0.0.1", False, "127.0.0.1", {"x_forwarded_host": "a"}, False),
    ("127.0.0.1", False, "127.0.0.1", {"forwarded": "for=127.0.0.1"}, False),
    ("127.0.0.1", False, "127.0.0.1", {"x_real_ip": "127.0.0.1"}, False),
    ("127.0.0.1", False, "127.0.0.1", {"via": "1.1 proxy"}, False),
    ("127.0.0.1", False, "127.0.0.1", {"cf_connecting_ip": "127.0.0.1"}, False),
    ("127.0.0.1", False, "127.0.0.1", {"true_client_ip": "127.0.0.1"}, False),
]


@pytest.mark.parametrize(("bind", "configured", "peer", "headers", "anonymous"), LOOPBACK_TABLE)
async def test_anonymous_only_on_loopback(
    bind: str, configured: bool, peer: str | None, headers: dict[str, Any], anonymous: bool
) -> None:
    found = await ask(call(peer=peer, **headers), rules=AccessRules(bind=bind, configured=configured))
    if anonymous:
        assert found == LOCAL
    else:
        assert isinstance(found, Refusal)
        assert found.reason is Reason.MISSING_CREDENTIAL


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer bad"},
        {"authorization": "Basic YTpi"},
        {"x_api_key": "bad"},
        {"cookie": "token=bad"},
        {"authorization": ""},
    ],
)
async def test_wrong_credential_is_refused_where_none_is_needed(headers: dict[str, Any]) -> None:
    found = await ask(call(peer="127.0.0.1", **headers), rules=OPEN)
    assert isinstance(found, Refusal)
    assert found.status == 401


async def test_right_credential_counts_where_none_is_needed() -> None:
    found = await ask(call(peer="127.0.0.1", authorization="Bearer good"), rules=OPEN)
    assert isinstance(found, Principal)
    assert found.id == "ada"


def test_local_principal_sees_everything_and_is_recorded_as_local() -> None:
    assert LOCAL.sees is None
    assert LOCAL.may_see("anybody")
    assert LOCAL.actor("127.0.0.1") == Actor(type="local", id="local", ip="127.0.0.1")


# --- internal callers -----------------------------------------------------------------------------------------------

TRUSTING = AccessRules(bind="0.0.0.0", configured=True, networks=trusted_networks(["10.1.0.0/16", "fd00:1::/48"]))


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "fd00:1::7"])
async def test_internal_caller_acts_for_the_organisation_it_names(peer: str) -> None:
    found = await ask(call(peer=peer, x_active_org="acme"), rules=TRUSTING)
    assert isinstance(found, Principal)
    assert (found.type, found.owner, found.organisation, found.sees) == ("internal", "org:acme", "acme", "org:acme")


@pytest.mark.parametrize(
    ("rules", "door", "peer", "headers", "expected"),
    [
        (LOCKED, RUNS, "10.1.2.3", {}, Reason.MISSING_CREDENTIAL),  # off by default
        (TRUSTING, AGENTS, "10.1.2.3", {}, Reason.MISSING_CREDENTIAL),  # not at this door
        (TRUSTING, RUNS, "10.2.2.3", {}, Reason.MISSING_CREDENTIAL),
        (TRUSTING, RUNS, "127.0.0.1", {}, Reason.MISSING_CREDENTIAL),  # loopback is not implied
        (TRUSTING, RUNS, None, {}, Reason.MISSING_CREDENTIAL),
        (TRUSTING, RUNS, "203.0.113.9", {"x_forwarded_for": "10.1.2.3"}, Reason.MISSING_CREDENTIAL),
        (TRUSTING, RUNS, "10.1.2.3", {"x_forwarded_for": "10.1.2.3"}, Reason.MISSING_CREDENTIAL),
        (TRUSTING, RUNS, "10.1.2.3", {"via": "1.1 x"}, Reason.MISSING_CREDENTIAL),
        (TRUSTING, RUNS, "10.1.2.3", {"origin": "https://a"}, Reason.MISSING_CREDENTIAL),
        (TRUSTING, RUNS, "10.1.2.3", {"sec_fetch_site": "same-origin"}, Reason.MISSING_CREDENTIAL),
        (TRUSTING, RUNS, "10.1.2.3", {"x_active_org": ""}, Reason.ORGANISATION_REQUIRED),
        (TRUSTING, RUNS, "10.1.2.3", {"authorization": "Bearer bad"}, Reason.SIGNATURE_INVALID),
    ],
)
async def test_others_are_not_internal(
    rules: AccessRules, door: DoorRules, peer: str | None, headers: dict[str, Any], expected: Reason
) -> None:
    assert await reason(call(peer=peer, **{"x_active_org": "acme", **headers}), door, rules) is expected


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "0.0.0.0/0", "172.16.0.0/12", "fc00::/7", "10.1.0.1/16", "internal", ""]
)
def test_network_too_wide_or_none_cannot_be_trusted(text: str) -> None:
    with pytest.raises(NetworkError):
        trusted_networks([text])


# --- cross-site -----------------------------------------------------------------------------------------------------

_COOKIE: dict[str, Any] = {"cookie": "token=good"}


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("GET", {"origin": "https://evil.example"}, True),  # reading changes nothing, and cannot be read there
        ("HEAD", {}, True),
        ("POST", {"origin": "https://api.example"}, True),
        ("POST", {"origin": "http://api.example:80"}, True),  # `Host` without a port means the scheme's own
        ("POST", {"origin": "https://api.example:80"}, False),
        ("POST", {"origin": "https://api.example:8443", "host": "api.example:8443"}, True),
        ("POST", {"origin": "https://app.example"}, True),  # an allowed origin
        ("POST", {"sec_fetch_site": "same-origin"}, True),
        ("POST", {"x_requested_with": "fetch"}, True),
        ("POST", {}, False),
        ("DELETE", {}, False),
        ("PUT", {}, False),
        ("POST", {"origin": "https://evil.example"}, False),
        ("POST", {"origin": "https://evil.example", "x_requested_with": "fetch"}, False),
        ("POST", {"origin": "https://evil.example", "sec_fetch_site": "same-origin"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": ""}, False),
        ("POST", {"origin": "https://api.example.evil.example"}, False),
        ("POST", {"origin": "https://evil-api.example"}, False),
        ("POST", {"origin": "https://api.example@evil.example"}, False),
        ("POST", {"origin": "https://[bad"}, False),
        ("POST", {"sec_fetch_site": "cross-site"}, False),
        ("POST", {"sec_fetch_site": "same-site"}, False),
        ("POST", {"sec_fetch_site": "cross-site", "x_requested_with": "fetch"}, False),
    ],
)
async def test_cookie_works_from_our_own_pages_only(method: str, headers: dict[str, Any], allowed: bool) -> None:
    rules = AccessRules(bind="0.0.0.0", configured=True, origins=("https://app.example",))
    expected = None if allowed else Reason.CROSS_SITE
    assert await reason(call(method, **_COOKIE, **headers), rules=rules) is expected


async def test_websocket_with_a_cookie_comes_from_our_own_pages_only() -> None:
    assert await reason(call(websocket=True, origin="https://evil.example", **_COOKIE)) is Reason.CROSS_SITE
    assert await reason(call(websocket=True, origin="https://api.example", **_COOKIE)) is None


async def test_credential_in_a_header_cannot_be_forged_by_a_page() -> None:
    assert await reason(call("POST", authorization="Bearer good", origin="https://app.example")) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),  # curl and other programs
        ({"origin": "http://127.0.0.1:8082", "host": "127.0.0.1:8082"}, None),
        ({"sec_fetch_site": "none"}, None),
        ({"origin": "https://evil.example"}, Reason.CROSS_SITE),
        ({"origin": "http://127.0.0.1:3000", "host": "127.0.0.1:8082"}, Reason.CROSS_SITE),
        ({"origin": "null"}, Reason.CROSS_SITE),
        ({"sec_fetch_site": "cross-site"}, Reason.CROSS_SITE),
    ],
)
async def test_page_from_elsewhere_cannot_use_an_open_server_on_this_machine(
    headers: dict[str, Any], expected: Reason | None
) -> None:
    assert await reason(call("POST", peer="127.0.0.1", **headers), rules=OPEN) is expected


# --- organisation and scope -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("belongs_to", "named", "expected"),
    [
        (("acme", "beta"), "beta", "beta"),
        (("acme",), None, "acme"),
        (("acme", "beta"), None, ""),
        ((), None, ""),
        (("acme",), "", "acme"),
        (("acme",), "beta", Reason.ORGANISATION_NOT_ALLOWED),
        (("acme",), "ACME", Reason.ORGANISATION_NOT_ALLOWED),
        ((), "acme", Reason.ORGANISATION_NOT_ALLOWED),
        (("acme",), "a" * 256, Reason.ORGANISATION_AMBIGUOUS),
    ],
)
async def test_organisation_is_one_of_the_credentials_own(
    belongs_to: tuple[str, ...], named: str | None, expected: str
) -> None:
    headers: dict[str, Any] = {} if named is None else {"x_active_org": named}
    found = await ask(call(authorization="Bearer good", **headers), organisations=belongs_to)
    assert (found.reason if isinstance(found, Refusal) else found.organisation) == expected


async def test_two_organisations_at_once_are_ambiguous() -> None:
    asked = Call(headers={"authorization": ["Bearer good"], "x-active-org": ["a", "b"]})
    assert await reason(asked, organisations=("a", "b")) is Reason.ORGANISATION_AMBIGUOUS


async def test_local_principal_may_name_any_organisation() -> None:
    found = await ask(call(peer="127.0.0.1", x_active_org="any"), rules=OPEN)
    assert isinstance(found, Principal)
    assert found.organisation == "any"


@pytest.mark.parametrize(
    ("scopes", "method", "expected"),
    [
        (("read",), "GET", None),
        (("read",), "HEAD", None),
        (("read",), "POST", Reason.INSUFFICIENT_SCOPE),
        (("read",), "DELETE", Reason.INSUFFICIENT_SCOPE),
        (("write",), "POST", None),
        (("write",), "GET", Reason.INSUFFICIENT_SCOPE),
        (("admin",), "POST", None),
        ((), "GET", Reason.INSUFFICIENT_SCOPE),
    ],
)
async def test_reading_needs_read_and_the_rest_needs_write(
    scopes: tuple[Scope, ...], method: str, expected: Reason | None
) -> None:
    assert await reason(call(method, authorization="Bearer good"), scopes=scopes) is expected


def test_principal_sees_its_own_runs_only() -> None:
    ada = Principal(type="user", id="ada", owner="ada", roles=("finance",))
    assert (ada.sees, ada.may_see("ada"), ada.may_see("eve"), ada.may_see("")) == ("ada", True, False, False)
    assert ada.actor("192.0.2.1") == Actor(type="user", id="ada", ip="192.0.2.1", roles=("finance",))
