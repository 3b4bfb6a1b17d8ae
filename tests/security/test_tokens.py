"""Tokens: honest ones of every kind of key, and those that only look like one."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from stepwell.core.principal import ALL_SCOPES
from stepwell.security.claims import TokenRules
from stepwell.security.jwks import KeySet
from stepwell.security.refusals import AccessError, Reason
from stepwell.security.tokens import TokenSettingsError, TokenVerifier

from .tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    claims,
    ec_key,
    ed_key,
    encoded,
    jwk,
    jwks,
    public_pem,
    raw_token,
    rsa_key,
    signed,
    token,
)

RULES = TokenRules(issuer=ISSUER, audiences=(AUDIENCE,))


def verifier(rules: TokenRules = RULES, *, secret: bytes = b"", keys: dict[str, Any] | None = None) -> TokenVerifier:
    async def read() -> bytes:
        return json.dumps(keys or jwks()).encode()

    return TokenVerifier(rules, keys=KeySet(read), secret=secret)


@pytest.mark.parametrize(
    ("key", "alg", "kid"), [(rsa_key, "RS256", "rsa"), (ec_key, "ES256", "ec"), (ed_key, "EdDSA", "ed")]
)
async def test_token_of_every_kind_of_key_is_accepted(key: Callable[[], Any], alg: str, kid: str) -> None:
    found = await verifier().verify(token(key=key(), alg=alg, header={"kid": kid}), NOW)
    assert (found.type, found.id, found.owner) == ("user", "ada", "ada")


async def test_shared_secret_verifies_hs256() -> None:
    found = await verifier(secret=SECRET).verify(token(key=SECRET, alg="HS256"), NOW)
    assert found.id == "ada"


async def test_shared_secret_needs_no_key_set() -> None:
    found = await TokenVerifier(RULES, secret=SECRET).verify(token(key=SECRET, alg="HS256"), NOW)
    assert found.id == "ada"


async def test_claims_become_roles_organisations_and_a_name() -> None:
    text = token(preferred_username="Ada L.", organizations=["beta"], roles=["auditor", 7])
    found = await verifier().verify(text, NOW)
    assert found.roles == ("finance", "auditor")
    assert found.organisations == ("beta", "acme")
    assert (found.display, found.scopes, found.sees) == ("Ada L.", ("read", "write"), "ada")


async def test_claims_are_found_by_whole_name_and_by_path() -> None:
    rules = TokenRules(
        issuer=ISSUER,
        audiences=(AUDIENCE,),
        roles_claims=("https://example.org/roles", "resource_access.stepwell.roles"),
        scopes_claim="scope",
    )
    said: dict[str, Any] = {
        "https://example.org/roles": ["a"],
        "resource_access": {"stepwell": {"roles": ["b"]}},
        "scope": "openid read",
    }
    text = token(**said)
    found = await verifier(rules).verify(text, NOW)
    assert (found.roles, found.scopes) == (("a", "b"), ("read",))


async def test_admin_role_sees_everybody() -> None:
    rules = TokenRules(issuer=ISSUER, audiences=(AUDIENCE,), admin_role="finance")
    found = await verifier(rules).verify(token(), NOW)
    assert (found.scopes, found.sees) == (ALL_SCOPES, None)


async def test_leeway_covers_clocks_that_differ() -> None:
    for text in (token(exp=NOW - 29), token(nbf=NOW + 29), token(iat=NOW + 29)):
        assert (await verifier().verify(text, NOW)).id == "ada"


async def test_token_without_kid_is_served_by_an_only_key() -> None:
    text = jwt.encode(claims(), rsa_key(), "RS256")
    assert (await verifier().verify(text, NOW)).id == "ada"


# --- none of these is accepted --------------------------------------------------------------------------------------


def _with_signature_of(other: str) -> str:
    head, body, _ = token().split(".")
    return f"{head}.{body}.{other.split('.')[2]}"


def _hmac_with_public_key(form: bytes) -> str:
    """RS/HS confusion by hand: PyJWT refuses to make one."""
    body = f"{encoded(json.dumps({'alg': 'HS256', 'kid': 'rsa'}).encode())}.{encoded(json.dumps(claims()).encode())}"
    return f"{body}.{encoded(hmac.new(form, body.encode(), hashlib.sha256).digest())}"


def _flipped() -> str:
    text = token()
    return text[:-20] + ("A" if text[-20] != "A" else "B") + text[-19:]


def _other_spelling() -> str:
    """The same bytes, but the last character carries other bits that nobody reads."""
    text = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(text[-1])
    return text[:-1] + alphabet[last ^ 1]


_OTHER = rsa_key("other")
_HEADER = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}
_EXP = NOW + 300

FORGED: dict[str, tuple[Callable[[], str], Reason]] = {
    # no signature, or somebody else's
    "alg none": (lambda: raw_token({"alg": "none"}, claims(), b""), Reason.TOKEN_MALFORMED),
    "alg none with a signature": (lambda: raw_token({"alg": "none"}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "alg None": (lambda: raw_token({"alg": "None"}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "alg nOnE": (lambda: raw_token({"alg": "nOnE", "kid": "rsa"}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "alg empty": (lambda: raw_token({"alg": ""}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "alg missing": (lambda: raw_token({"kid": "rsa"}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "alg null": (lambda: raw_token({"alg": None}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "alg a list": (lambda: raw_token({"alg": ["RS256"]}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "signature cut off": (lambda: token().rpartition(".")[0] + ".", Reason.TOKEN_MALFORMED),
    "signature of another key": (lambda: token(key=_OTHER), Reason.SIGNATURE_INVALID),
    "signature of another token": (lambda: _with_signature_of(token(sub="eve")), Reason.SIGNATURE_INVALID),
    "one character changed": (_flipped, Reason.SIGNATURE_INVALID),
    "signature of zeros": (lambda: raw_token(_HEADER, claims(), bytes(256)), Reason.SIGNATURE_INVALID),
    "EC signature of zeros (CVE-2022-21449)": (
        lambda: raw_token({"alg": "ES256", "kid": "ec"}, claims(), bytes(64)),
        Reason.SIGNATURE_INVALID,
    ),
    "claims changed after signing": (
        lambda: ".".join(
            [token().split(".")[0], encoded(json.dumps(claims(sub="eve")).encode()), token().split(".")[2]]
        ),
        Reason.SIGNATURE_INVALID,
    ),
    # confused algorithms and keys
    "HS256 with the public key as PEM": (
        lambda: _hmac_with_public_key(public_pem(rsa_key())),
        Reason.SIGNATURE_INVALID,
    ),
    "HS256 with the public key as JSON": (
        lambda: _hmac_with_public_key(json.dumps(jwk(rsa_key(), kid="rsa")).encode()),
        Reason.SIGNATURE_INVALID,
    ),
    "HS256 with an empty key": (lambda: _hmac_with_public_key(b""), Reason.SIGNATURE_INVALID),
    "HS512 with the shared secret": (lambda: token(key=SECRET * 2, alg="HS512"), Reason.ALGORITHM_NOT_ALLOWED),
    "RS512, not in use here": (lambda: token(alg="RS512"), Reason.ALGORITHM_NOT_ALLOWED),
    "PS256 with the RS256 key": (lambda: token(alg="PS256"), Reason.ALGORITHM_NOT_ALLOWED),
    "RS256 under the kid of the EC key": (lambda: token(header={"kid": "ec"}), Reason.KEY_UNKNOWN),
    "ES256 under the kid of the RSA key": (lambda: token(key=ec_key(), alg="ES256"), Reason.KEY_UNKNOWN),
    "ES256K": (lambda: raw_token({"alg": "ES256K", "kid": "ec"}, claims()), Reason.ALGORITHM_NOT_ALLOWED),
    "EC key of an attacker": (
        lambda: token(key=ec.generate_private_key(ec.SECP256R1()), alg="ES256", header={"kid": "ec"}),
        Reason.SIGNATURE_INVALID,
    ),
    # keys that come with the token
    "unknown kid": (lambda: token(key=_OTHER, header={"kid": "mine"}), Reason.KEY_UNKNOWN),
    "kid a path": (
        lambda: token(key=b"\0" * 32, alg="HS256", header={"kid": "../../dev/null"}),
        Reason.SIGNATURE_INVALID,
    ),
    "kid a list": (lambda: raw_token({"alg": "RS256", "kid": ["rsa"]}, claims()), Reason.TOKEN_MALFORMED),
    "kid with SQL": (lambda: token(header={"kid": "x' UNION SELECT '"}), Reason.KEY_UNKNOWN),
    "embedded jwk": (lambda: token(key=_OTHER, header={"jwk": jwk(_OTHER)}), Reason.HEADER_NOT_ALLOWED),
    "jku": (lambda: token(key=_OTHER, header={"jku": "https://evil.example/keys"}), Reason.HEADER_NOT_ALLOWED),
    "x5u": (lambda: token(key=_OTHER, header={"x5u": "https://evil.example/x"}), Reason.HEADER_NOT_ALLOWED),
    "x5c": (lambda: token(key=_OTHER, header={"x5c": ["MII"]}), Reason.HEADER_NOT_ALLOWED),
    "crit": (lambda: signed({**_HEADER, "crit": ["exp"]}, claims()), Reason.HEADER_NOT_ALLOWED),
    "b64 false": (lambda: signed({**_HEADER, "b64": False}, claims()), Reason.HEADER_NOT_ALLOWED),
    "a nested token": (lambda: signed({**_HEADER, "cty": "JWT"}, claims()), Reason.HEADER_NOT_ALLOWED),
    "compressed": (lambda: signed({**_HEADER, "zip": "DEF"}, claims()), Reason.HEADER_NOT_ALLOWED),
    # times
    "expired": (lambda: token(exp=NOW - 31), Reason.TOKEN_EXPIRED),
    "expired long ago": (lambda: token(exp=0), Reason.TOKEN_EXPIRED),
    "without exp": (lambda: token(exp=None), Reason.CLAIM_MISSING),
    "exp null": (lambda: signed(_HEADER, {**claims(), "exp": None}), Reason.CLAIM_MISSING),
    "exp a text": (lambda: signed(_HEADER, {**claims(), "exp": "9999999999"}), Reason.CLAIM_INVALID),
    "exp true": (lambda: signed(_HEADER, {**claims(), "exp": True}), Reason.CLAIM_INVALID),
    "exp infinite": (lambda: signed(_HEADER, {**claims(), "exp": float("inf")}), Reason.TOKEN_MALFORMED),
    "exp NaN": (lambda: signed(_HEADER, {**claims(), "exp": float("nan")}), Reason.TOKEN_MALFORMED),
    "exp beyond any float": (lambda: signed(_HEADER, {**claims(), "exp": 10**400}), Reason.CLAIM_INVALID),
    "exp in milliseconds": (lambda: signed(_HEADER, {**claims(), "exp": _EXP * 1000}), Reason.CLAIM_INVALID),
    "not yet valid": (lambda: token(nbf=NOW + 31), Reason.TOKEN_NOT_YET_VALID),
    "issued in the future": (lambda: token(iat=NOW + 31), Reason.TOKEN_NOT_YET_VALID),
    "nbf a text": (lambda: signed(_HEADER, {**claims(), "nbf": "0"}), Reason.CLAIM_INVALID),
    # foreign
    "another issuer": (lambda: token(iss="https://evil.example/"), Reason.WRONG_ISSUER),
    "issuer with a slash more": (lambda: token(iss=ISSUER + "/"), Reason.WRONG_ISSUER),
    "issuer a part of ours": (lambda: token(iss="https://id.example"), Reason.WRONG_ISSUER),
    "issuer a list": (lambda: signed(_HEADER, {**claims(), "iss": [ISSUER]}), Reason.WRONG_ISSUER),
    "without issuer": (lambda: token(iss=None), Reason.CLAIM_MISSING),
    "another audience": (lambda: token(aud="account"), Reason.WRONG_AUDIENCE),
    "audience a part of ours": (lambda: token(aud="step"), Reason.WRONG_AUDIENCE),
    "no audience in the list": (lambda: token(aud=[]), Reason.WRONG_AUDIENCE),
    "audience an object": (lambda: signed(_HEADER, {**claims(), "aud": {AUDIENCE: 1}}), Reason.CLAIM_INVALID),
    "without audience": (lambda: token(aud=None), Reason.CLAIM_MISSING),
    "an ID token (Keycloak)": (lambda: token(typ="ID"), Reason.WRONG_TOKEN_TYPE),
    "a refresh token (Keycloak)": (lambda: token(typ="Refresh"), Reason.WRONG_TOKEN_TYPE),
    "an offline token (Keycloak)": (lambda: token(typ="Offline"), Reason.WRONG_TOKEN_TYPE),
    "an ID token (OpenID Connect)": (lambda: token(at_hash="x"), Reason.WRONG_TOKEN_TYPE),
    "an ID token (Cognito)": (lambda: token(token_use="id"), Reason.WRONG_TOKEN_TYPE),
    "a log-out token": (lambda: token(header={"typ": "logout+jwt"}), Reason.WRONG_TOKEN_TYPE),
    "a DPoP proof": (lambda: token(header={"typ": "dpop+jwt"}), Reason.WRONG_TOKEN_TYPE),
    # nobody
    "without subject": (lambda: token(sub=None), Reason.CLAIM_MISSING),
    "subject empty": (lambda: token(sub=""), Reason.CLAIM_INVALID),
    "subject a number": (lambda: signed(_HEADER, {**claims(), "sub": 7}), Reason.CLAIM_INVALID),
    "subject with a line break": (lambda: token(sub="ada\neve"), Reason.CLAIM_INVALID),
    "subject with a space after it": (lambda: token(sub="ada "), Reason.CLAIM_INVALID),
    "subject of an organisation": (lambda: token(sub="org:acme"), Reason.CLAIM_INVALID),
    "subject that passes for a role": (lambda: token(sub="role:boss"), Reason.CLAIM_INVALID),
    "subject too long": (lambda: token(sub="a" * 256), Reason.CLAIM_INVALID),
    # no token at all
    "empty": (lambda: "", Reason.TOKEN_MALFORMED),
    "two parts": (lambda: "e30.e30", Reason.TOKEN_MALFORMED),
    "encrypted (five parts)": (lambda: token() + ".e30.e30", Reason.TOKEN_MALFORMED),
    "with a line break": (lambda: token() + "\n", Reason.TOKEN_MALFORMED),
    "with padding": (lambda: token() + "==", Reason.TOKEN_MALFORMED),
    "in another spelling": (_other_spelling, Reason.TOKEN_MALFORMED),
    "header no JSON": (lambda: raw_token(b"{", claims()), Reason.TOKEN_MALFORMED),
    "header a list": (lambda: raw_token([], claims()), Reason.TOKEN_MALFORMED),
    "header not UTF-8": (lambda: raw_token(b'{"alg":"\xff"}', claims()), Reason.TOKEN_MALFORMED),
    "header nested without end": (lambda: raw_token(b"[" * 5000, claims()), Reason.TOKEN_MALFORMED),
    "claims no JSON": (lambda: signed(_HEADER, b"ada"), Reason.TOKEN_MALFORMED),
    "claims a list": (lambda: signed(_HEADER, [claims()]), Reason.TOKEN_MALFORMED),
    "far too long": (lambda: token(padding="x" * 20_000), Reason.TOKEN_MALFORMED),
}


@pytest.mark.parametrize("name", FORGED)
async def test_forged_expired_confused_and_foreign_tokens_are_refused(name: str) -> None:
    make, reason = FORGED[name]
    with pytest.raises(AccessError) as refused:
        await verifier(secret=SECRET).verify(make(), NOW)
    assert refused.value.refusal.reason is reason


@pytest.mark.parametrize("name", FORGED)
async def test_they_are_refused_without_a_shared_secret_too(name: str) -> None:
    with pytest.raises(AccessError):
        await verifier().verify(FORGED[name][0](), NOW)


def test_there_are_enough_of_them() -> None:
    assert len(FORGED) >= 40


async def test_refusal_says_nothing_of_the_token() -> None:
    text = token(key=_OTHER)
    with pytest.raises(AccessError) as refused:
        await verifier().verify(text, NOW)
    said = refused.value.refusal
    assert not any(part in str(said) + str(said.headers) for part in text.split("."))


# --- settings that would be unsafe ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({"issuer": ""}, SECRET),
        ({"audiences": ()}, SECRET),
        ({"audiences": ("",)}, SECRET),
        ({}, b"too short"),
        ({}, public_pem(rsa_key())),
        ({"algorithms": ("none",)}, SECRET),
        ({"algorithms": ("HS256",)}, SECRET),
        ({"leeway_s": 3600.0}, SECRET),
        ({}, b""),
    ],
)
def test_unsafe_settings_are_refused(changes: dict[str, Any], secret: bytes) -> None:
    rules = TokenRules(**{"issuer": ISSUER, "audiences": (AUDIENCE,), **changes})
    with pytest.raises(TokenSettingsError):
        TokenVerifier(rules, secret=secret)
