"""Digest access authentication (RFC 7616): the answer to a server's challenge. Pure but for the client's nonce."""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

_HASHES: Mapping[str, Callable[[bytes], str]] = {
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}
_CHALLENGE = re.compile(r"(?:^|,)\s*digest\s+", re.IGNORECASE)
_NEXT_SCHEME = re.compile(r",\s*[A-Za-z][\w-]*\s+[A-Za-z]+\s*=")
_PARAMETER = re.compile(r"([A-Za-z][\w*-]*)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,]+))")

Challenge = Mapping[str, str]


def challenge_in(header: str) -> Challenge | None:
    """The strongest digest challenge of a `WWW-Authenticate` header that can be answered."""
    found = [
        challenge
        for start in _CHALLENGE.finditer(header)
        if (challenge := _parameters(header[start.end() :])) and _hash_of(challenge) is not None
    ]
    order = list(_HASHES)
    return min(found, key=lambda challenge: order.index(_algorithm(challenge)), default=None)


def answer(
    challenge: Challenge,
    *,
    method: str,
    url: str,
    username: str,
    password: str,
    content: bytes = b"",
    client_nonce: str | None = None,
) -> str:
    """The `Authorization` header for one request."""
    digest = _HASHES[_algorithm(challenge)]
    nonce, realm = challenge["nonce"], challenge.get("realm", "")
    client_nonce = client_nonce or secrets.token_hex(16)
    parts = urlsplit(url)
    uri = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    key = digest(f"{username}:{realm}:{password}".encode())
    if challenge.get("algorithm", "").upper().endswith("-SESS"):
        key = digest(f"{key}:{nonce}:{client_nonce}".encode())
    offered = [name.strip().lower() for name in challenge.get("qop", "").split(",") if name.strip()]
    protection = "auth" if "auth" in offered else offered[0] if offered else ""
    request = f"{method.upper()}:{uri}"
    if protection == "auth-int":
        request += f":{digest(content)}"
    middle = f"{nonce}:00000001:{client_nonce}:{protection}" if protection else nonce
    response = digest(f"{key}:{middle}:{digest(request.encode())}".encode())
    quoted = {"username": username, "realm": realm, "nonce": nonce, "uri": uri, "response": response}
    if "opaque" in challenge:
        quoted["opaque"] = challenge["opaque"]
    plain = {"algorithm": challenge["algorithm"]} if "algorithm" in challenge else {}
    if protection:
        quoted["cnonce"] = client_nonce
        plain |= {"qop": protection, "nc": "00000001"}
    escaped = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
    return "Digest " + ", ".join(escaped + [f"{name}={value}" for name, value in plain.items()])


def _parameters(text: str) -> dict[str, str]:
    """Those of one challenge: they end where another scheme begins."""
    following = _NEXT_SCHEME.search(text)
    text = text[: following.start()] if following else text
    return {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        for match in _PARAMETER.finditer(text)
    }


def _algorithm(challenge: Challenge) -> str:
    return challenge.get("algorithm", "MD5").upper().removesuffix("-SESS")


def _hash_of(challenge: Challenge) -> str | None:
    offered = {name.strip().lower() for name in challenge.get("qop", "auth").split(",")}
    name = _algorithm(challenge)
    return name if name in _HASHES and "nonce" in challenge and offered & {"auth", "auth-int"} else None


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
