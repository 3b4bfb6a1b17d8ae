"""From settings to the rules of security: what each setting does, and which ones are refused with what sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from stepwell import App
from stepwell.doors.access import access_rules, cors_origins, egress_rules, public_origin, token_verifier
from stepwell.security.egress import EgressRefusedError, check_url
from stepwell.security.refusals import AccessError
from stepwell.settings import Settings, SettingsError

from .tokens import AUDIENCE, ISSUER, NOW, SECRET, claims, jwks, token

SHARED = SECRET.decode()
NEEDED: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": (AUDIENCE,), "jwt_secret": SHARED}


def refused(**settings: Any) -> str:
    """What is said about these settings when a server is made with them."""
    with pytest.raises(SettingsError) as fault:
        App(settings=Settings(**settings)).asgi()
    return str(fault.value)


def test_without_settings_nothing_is_configured() -> None:
    rules = access_rules(Settings())
    assert token_verifier(Settings()) is None
    assert (rules.configured, rules.networks, rules.origins, rules.query_tokens) == (False, (), (), False)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"jwt_issuer": ISSUER}, "jwt_issuer is set, and jwt_audience is not: tokens need both"),
        ({"jwt_audience": (AUDIENCE,)}, "jwt_audience is set, and jwt_issuer is not: tokens need both"),
        ({"jwt_secret": SHARED}, "jwt_secret is set, and jwt_issuer is not: tokens need both"),
        (
            {"jwt_issuer": ISSUER, "jwt_audience": ("a",)},
            "jwt_issuer is set, and no key is: tokens need jwt_jwks (public keys) or jwt_secret",
        ),
        ({**NEEDED, "jwt_secret": "short"}, "jwt_secret: expected at least 32 bytes (RFC 7518 §3.2), found 5"),
        (
            {**NEEDED, "jwt_secret": "-----BEGIN PUBLIC KEY-----\nMIIB..." + "x" * 32},
            "jwt_secret: expected a shared secret, found a key that others may know",
        ),
        ({**NEEDED, "jwt_algorithms": ("RS256", "none")}, "jwt_algorithms: expected some of RS256, "),
        ({**NEEDED, "jwt_algorithms": ("HS256",)}, "jwt_algorithms: expected some of RS256, "),
        ({**NEEDED, "jwt_jwks": "http://id.example/keys"}, "jwt_jwks: expected an https:// URL or a file"),
        ({**NEEDED, "jwt_jwks": "ftp://id.example/keys"}, "jwt_jwks: expected an https:// URL or a file"),
        ({**NEEDED, "jwt_jwks": "no/such/file.json"}, "jwt_jwks: no/such/file.json cannot be read"),
        ({"auth_cookie": "to ken"}, "auth_cookie: expected the name of a cookie, found 'to ken'"),
        ({"auth_cookie": ""}, "auth_cookie: expected the name of a cookie, found ''"),
        (
            {"trusted_networks": ("internal",)},
            "trusted_networks: expected a network like 10.1.0.0/16, found 'internal'",
        ),
        ({"trusted_networks": ("10.0.0.0/8",)}, "trusted_networks: expected a network of /16 or narrower"),
        ({"cors_origins": ("*",)}, "cors_origins: expected origins like https://app.example, found '*'"),
        ({"cors_origins": ("https://a.example/",)}, "cors_origins: expected origins like https://app.example"),
        ({"cors_origins": ("a.example",)}, "cors_origins: expected origins like https://app.example"),
        ({"cors_origins": ("null",)}, "cors_origins: expected origins like https://app.example"),
        ({"public_url": "flows.example"}, "public_url: expected a URL like https://flows.example"),
    ],
)
def test_setting_that_is_refused_is_named(settings: dict[str, Any], sentence: str) -> None:
    said = refused(**settings)
    assert said.startswith(sentence)
    assert SHARED not in said


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"egress_allow": ("http://a",)}, "egress_allow: expected a host, host:port or network like 10.1.0.0/16"),
        ({"egress_deny": ("a.example",)}, "egress_deny: expected networks like 10.1.0.0/16: "),
    ],
)
def test_egress_setting_that_is_refused_is_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as fault:
        egress_rules(Settings(**settings))
    assert str(fault.value).startswith(sentence)


def test_key_set_in_a_file_must_hold_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("{}")
    assert "jwt_jwks: expected a list of at most 100 keys" in refused(**NEEDED, jwt_jwks=str(file))
    file.write_text(json.dumps({"keys": []}))
    assert "jwt_jwks: expected a public key for signatures in the set" in refused(**NEEDED, jwt_jwks=str(file))


async def test_claims_are_found_where_the_settings_say() -> None:
    settings = Settings(
        **NEEDED,
        jwt_roles_claims=("groups",),
        jwt_organisations_claims=("teams",),
        jwt_display_claims=("nick",),
        jwt_scopes_claim="scp",
        jwt_leeway_s=0,
    )
    verifier = token_verifier(settings)
    assert verifier is not None
    said: dict[str, Any] = {"groups": ["ops"], "teams": "red", "nick": "Ada", "scp": "read"}
    found = await verifier.verify(token(key=SECRET, alg="HS256", **said), NOW)
    assert (found.roles, found.organisations, found.display, found.scopes) == (("ops",), ("red",), "Ada", ("read",))


@pytest.mark.parametrize(("leeway_s", "accepted"), [(5, False), (15, True)])
async def test_leeway_is_a_setting(leeway_s: float, accepted: bool) -> None:
    verifier = token_verifier(Settings(**NEEDED, jwt_leeway_s=leeway_s))
    assert verifier is not None
    found = await _outcome(verifier, token(key=SECRET, alg="HS256", exp=NOW - 10))
    assert (found == "ada") is accepted


async def test_admin_role_is_a_setting() -> None:
    verifier = token_verifier(Settings(**NEEDED, jwt_admin_role="finance"))
    assert verifier is not None
    assert claims()["realm_access"] == {"roles": ["finance"]}
    assert (await verifier.verify(token(key=SECRET, alg="HS256"), NOW)).sees is None


async def test_algorithms_are_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(jwks()))
    settings = Settings(jwt_issuer=ISSUER, jwt_audience=(AUDIENCE,), jwt_jwks=str(file), jwt_algorithms=("ES256",))
    verifier = token_verifier(settings)
    assert verifier is not None
    assert await _outcome(verifier, token()) == "the token is signed with an algorithm not in use here"


async def _outcome(verifier: Any, text: str) -> str:
    try:
        return str((await verifier.verify(text, NOW)).id)
    except AccessError as refusal:
        return str(refusal)


def test_own_origin_is_allowed_beside_those_of_others() -> None:
    settings = Settings(public_url="https://Flows.example:8443/base", cors_origins=("https://app.example",))
    assert public_origin(settings) == "https://flows.example:8443"
    assert cors_origins(settings) == ("https://app.example",)
    assert access_rules(settings).origins == ("https://app.example", "https://flows.example:8443")


@pytest.mark.parametrize(
    ("settings", "url", "called"),
    [
        ({}, "https://example.com/", True),
        ({}, "http://example.com/", False),
        ({"egress_http": True}, "http://example.com/", True),
        ({}, "https://example.com:8443/", False),
        ({"egress_ports": (443, 8443)}, "https://example.com:8443/", True),
        ({}, "https://10.1.2.3/", False),
        ({"egress_allow": ("10.1.0.0/16",)}, "https://10.1.2.3/", True),
        ({"egress_allow": ("127.0.0.1:9000",)}, "http://127.0.0.1:9000/", True),
        ({"egress_deny": ("93.184.216.0/24",)}, "https://93.184.216.34/", False),
        ({"egress_allow": ("10.1.0.0/16",), "egress_deny": ("10.1.2.0/24",)}, "https://10.1.2.3/", False),
    ],
)
def test_egress_settings_open_and_close(settings: dict[str, Any], url: str, called: bool) -> None:
    rules = egress_rules(Settings(**settings))
    if called:
        check_url(url, rules)
    else:
        with pytest.raises(EgressRefusedError):
            check_url(url, rules)
