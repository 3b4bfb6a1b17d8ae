"""Key sets: which keys count, when a set is read again, and what happens while it cannot be."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from stepwell.security.jwks import AGAIN_S, KEEP_S, MAX_BYTES, TRUST_S, JwksError, KeySet, parse_jwks, reader_of
from stepwell.security.refusals import AccessError, Reason

from .servers import Served
from .tokens import NOW, ec_key, ed_key, jwk, jwks, rsa_key


class Issuer:
    """A place of a key set that counts how often it is read, and can be away."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.reads = 0
        self.away = False

    async def read(self) -> bytes:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise JwksError("away")
        return json.dumps({"keys": self.keys}).encode()


async def reason_of(keys: KeySet, kid: str, now: float) -> Reason:
    with pytest.raises(AccessError) as refused:
        await keys.find(kid, "RS256", now)
    return refused.value.refusal.reason


async def test_set_is_read_once_and_kept() -> None:
    issuer = Issuer(jwk(rsa_key(), kid="a"))
    keys = KeySet(issuer.read)
    for at in (NOW, NOW + 1, NOW + KEEP_S):
        await keys.find("a", "RS256", at)
    assert issuer.reads == 1


async def test_many_tokens_at_once_read_it_once() -> None:
    issuer = Issuer(jwk(rsa_key(), kid="a"))
    keys = KeySet(issuer.read)
    await asyncio.gather(*(keys.find("a", "RS256", NOW) for _ in range(50)))
    assert issuer.reads == 1


async def test_new_key_is_found_by_reading_again() -> None:
    issuer = Issuer(jwk(rsa_key(), kid="a"))
    keys = KeySet(issuer.read)
    await keys.find("a", "RS256", NOW)
    issuer.keys.append(jwk(rsa_key("other"), kid="b"))
    assert (await keys.find("b", "RS256", NOW + AGAIN_S)).kid == "b"
    assert issuer.reads == 2


async def test_unknown_keys_read_it_once_a_minute_at_most() -> None:
    issuer = Issuer(jwk(rsa_key(), kid="a"))
    keys = KeySet(issuer.read)
    for n in range(200):
        assert await reason_of(keys, f"no-{n}", NOW + n * 0.1) is Reason.KEY_UNKNOWN
    assert issuer.reads == 1
    assert await reason_of(keys, "no", NOW + AGAIN_S) is Reason.KEY_UNKNOWN
    assert issuer.reads == 2


async def test_withdrawn_key_is_forgotten_within_the_hour() -> None:
    issuer = Issuer(jwk(rsa_key(), kid="a"), jwk(rsa_key("other"), kid="b"))
    keys = KeySet(issuer.read)
    await keys.find("b", "RS256", NOW)
    del issuer.keys[1]
    assert await reason_of(keys, "b", NOW + KEEP_S + 1) is Reason.KEY_UNKNOWN


async def test_issuer_that_is_away_at_first_is_our_fault_not_the_callers() -> None:
    issuer = Issuer(jwk(rsa_key(), kid="a"))
    issuer.away = True
    keys = KeySet(issuer.read)
    assert await reason_of(keys, "a", NOW) is Reason.KEYS_UNAVAILABLE
    issuer.away = False
    assert await reason_of(keys, "a", NOW + 1) is Reason.KEYS_UNAVAILABLE  # not asked again at once
    assert (await keys.find("a", "RS256", NOW + AGAIN_S)).kid == "a"


async def test_known_keys_are_trusted_for_a_day_while_the_issuer_is_away() -> None:
    issuer = Issuer(jwk(rsa_key(), kid="a"))
    keys = KeySet(issuer.read)
    await keys.find("a", "RS256", NOW)
    issuer.away = True
    assert (await keys.find("a", "RS256", NOW + TRUST_S)).kid == "a"
    assert await reason_of(keys, "a", NOW + TRUST_S + AGAIN_S) is Reason.KEYS_UNAVAILABLE


async def test_without_kid_two_keys_of_an_algorithm_are_ambiguous() -> None:
    keys = KeySet(Issuer(jwk(rsa_key(), kid="a"), jwk(rsa_key("other"), kid="b")).read)
    with pytest.raises(AccessError):
        await keys.find(None, "RS256", NOW)


def parsed(*keys: Any) -> list[str]:
    return [key.algorithm for key in parse_jwks(json.dumps({"keys": [*keys, jwk(ed_key(), kid="ed")]}).encode())[:-1]]


def test_key_has_the_algorithm_of_its_kind_unless_it_names_one() -> None:
    found = parsed(jwk(rsa_key()), jwk(rsa_key(), alg="PS256"), jwk(ec_key()), jwk(ec_key(), alg="ES256"))
    assert found == ["RS256", "PS256", "ES256", "ES256"]


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"},
        jwk(rsa_key(), alg="HS256"),
        jwk(rsa_key(), alg="none"),
        jwk(rsa_key(), alg="ES256"),
        jwk(ec_key(), alg="RS256"),
        jwk(rsa_key(), use="enc"),
        jwk(rsa_key(), key_ops=["sign"]),
        jwk(rsa_key("weak", 1024)),
        {**RSAAlgorithm.to_jwk(rsa_key(), as_dict=True), "key_ops": ["verify"]},  # with its private part
        {**jwk(ec_key()), "x": "AA"},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        "RSA",
        7,
    ],
)
def test_keys_that_prove_nothing_are_ignored(key: Any) -> None:
    assert parsed(key) == []


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b"x" * (MAX_BYTES + 1), b"\xff"]
)
def test_what_is_no_key_set_is_an_error(data: bytes) -> None:
    with pytest.raises(JwksError):
        parse_jwks(data)


def test_set_with_too_many_keys_is_an_error() -> None:
    with pytest.raises(JwksError):
        parse_jwks(json.dumps({"keys": [jwk(ed_key())] * 101}).encode())


async def test_set_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(jwks()))
    assert len(parse_jwks(await reader_of(str(file))())) == 3
    assert len(parse_jwks(await reader_of(f"file://{file}")())) == 3


async def test_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JwksError):
        await reader_of(str(tmp_path / "none"))()


async def test_set_is_read_from_a_server(served: Served) -> None:
    served.answers["/keys"] = (200, {}, json.dumps(jwks()).encode())
    assert len(parse_jwks(await reader_of(f"{served.url}/keys")())) == 3


async def test_server_may_not_redirect_fail_or_send_too_much(served: Served) -> None:
    served.answers["/moved"] = (302, {"Location": "/keys"}, b"")
    served.answers["/keys"] = (200, {}, json.dumps(jwks()).encode())
    served.answers["/much"] = (200, {}, b" " * (MAX_BYTES + 1))
    for path in ("/moved", "/none", "/much"):
        with pytest.raises(JwksError):
            await reader_of(served.url + path)()
    assert "/keys" not in served.asked


@pytest.mark.parametrize("place", ["http://id.example/keys", "ftp://id.example/keys", "http://10.0.0.1/keys"])
def test_place_whose_answer_others_can_change_is_refused(place: str) -> None:
    with pytest.raises(JwksError):
        reader_of(place)
