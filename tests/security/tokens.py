"""An issuer of tokens for tests: its keys, its key set, and honest tokens that tests then spoil."""

import base64
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_800_000_000.0
ISSUER = "https://id.example/realms/main"
AUDIENCE = "stepwell"
SECRET = b"a shared secret of more than thirty-two bytes"


@cache
def rsa_key(_name: str = "own", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return found


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    kind: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "Ed2": OKPAlgorithm}
    name = "RSA" if isinstance(key, rsa.RSAPrivateKey) else "EC" if hasattr(key, "curve") else "Ed2"
    return {**kind[name].to_jwk(key.public_key(), as_dict=True), "use": "sig", **members}


def jwks() -> dict[str, Any]:
    return {"keys": [jwk(rsa_key(), kid="rsa"), jwk(ec_key(), kid="ec"), jwk(ed_key(), kid="ed")]}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of an honest token; None leaves one out."""
    honest = {
        "iss": ISSUER,
        "aud": ["account", AUDIENCE],
        "sub": "ada",
        "exp": NOW + 300,
        "iat": NOW - 10,
        "typ": "Bearer",
        "realm_access": {"roles": ["finance"]},
        "organization": {"acme": {}},
    }
    return {name: value for name, value in {**honest, **changes}.items() if value is not None}


def token(*, key: Any = None, alg: str = "RS256", header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token of the issuer's, signed with its RSA key unless told otherwise."""
    return jwt.encode(claims(**changes), key or rsa_key(), alg, {"kid": "rsa", **(header or {})})


def raw_token(header: Any, payload: Any, signature: bytes = b"x") -> str:
    """Three parts put together by hand; texts are taken as they are."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(encoded(part) for part in [*parts, signature])


def signed(header: dict[str, Any], payload: Any, *, key: Any = None) -> str:
    """Any header and any payload bytes, with a good RS256 signature."""
    body = ".".join(encoded(json.dumps(part).encode() if not isinstance(part, bytes) else part)
                    for part in (header, payload))  # fmt: skip
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(body.encode(), key or rsa_key())
    return f"{body}.{encoded(signature)}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
