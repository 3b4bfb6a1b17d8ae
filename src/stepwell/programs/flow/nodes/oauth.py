"""OAuth 2 and OpenID Connect: tokens for calls, asked for inside the step that needs one.

Source: RFC 6749 §4.3, §4.4 and RFC 8693; OpenID Connect Discovery 1.0 §4 for the address.

A token is no fact: it is kept in memory until it ends, and never recorded. After a restart another one is asked for.
"""

import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec

from stepwell.core.errors import StepFailure, problem
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.hiding import Hidden
from stepwell.programs.http import HttpRequest, HttpResponse

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANTS = ("client_credentials", "password", TOKEN_EXCHANGE)
CLIENT_AUTHENTICATIONS = ("client_secret_post", "client_secret_basic", "none")
EARLIER_S = 30.0
"""A token is renewed this long before its end, or its request could come too late."""
DEFAULT_LIFE_S = 60.0
MAX_KEPT = 256

_HIDDEN = ("password", "subject_token", "actor_token")

Send = Callable[[HttpRequest, Hidden], Awaitable[HttpResponse]]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is asked for with. With `discovers` the endpoint is in the authority's OpenID configuration."""

    authority: str
    discovers: bool
    endpoint: str = "/oauth2/token"
    grant: str = "client_credentials"
    client: str = ""
    secret: str = ""
    client_authentication: str = "client_secret_post"
    encoding: Literal["application/x-www-form-urlencoded", "application/json"] = "application/x-www-form-urlencoded"
    more: tuple[tuple[str, str], ...] = ()
    """Further fields of the request: scope, audience, user name, tokens to exchange."""

    def __repr__(self) -> str:
        return f"Grant({self.authority})"

    @property
    def hidden(self) -> tuple[str, ...]:
        return (self.secret, *(value for name, value in self.more if name in _HIDDEN))


class _Kept(msgspec.Struct, frozen=True):
    token: str
    until: float


class Tokens:
    """The tokens of one definition, by what they were asked for with."""

    def __init__(self) -> None:
        self._kept: dict[Grant, _Kept] = {}

    async def token(self, grant: Grant, send: Send, *, fresh: bool = False) -> str:
        """Raises `StepFailure`. With `fresh` no kept one is good enough."""
        kept = self._kept.get(grant)
        if kept is not None and not fresh and time.monotonic() < kept.until:
            return kept.token
        url = await _endpoint(grant, send)
        answer = await _asked(grant, _request(grant, url), send)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise _failed(f"{_words(url)}: expected an access_token, found none", retryable=False)
        lives_s = answer.get("expires_in")
        lives_s = float(lives_s) if isinstance(lives_s, int | float) else DEFAULT_LIFE_S
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[grant] = _Kept(token, time.monotonic() + lives_s - min(EARLIER_S, lives_s / 2))
        return token


async def _endpoint(grant: Grant, send: Send) -> str:
    authority = grant.authority.rstrip("/")
    if not grant.discovers:
        return f"{authority}/{grant.endpoint.lstrip('/')}"
    request = HttpRequest(
        method="get", url=f"{authority}/.well-known/openid-configuration", headers={"Accept": "application/json"}
    )
    found = (await _asked(grant, request, send)).get("token_endpoint")
    if not isinstance(found, str) or not found.lower().startswith(("http://", "https://")):
        raise _failed(f"{_words(request.url)}: expected a token_endpoint, found none", retryable=False)
    return found


def _request(grant: Grant, url: str) -> HttpRequest:
    fields: dict[str, str] = {"grant_type": grant.grant, **dict(grant.more)}
    headers: dict[str, str] = {"Content-Type": grant.encoding, "Accept": "application/json"}
    if grant.client_authentication == "client_secret_basic":  # RFC 6749 §2.3.1: each part is form-encoded first
        pair = f"{quote(grant.client, safe='')}:{quote(grant.secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        given = {"client_id": grant.client, "client_secret": grant.secret}
        fields |= {name: value for name, value in given.items() if value}
    as_json = grant.encoding == "application/json"
    content = messages.json_bytes(fields) if as_json else urlencode(fields).encode()
    return HttpRequest(method="post", url=url, headers=headers, content=content)


async def _asked(grant: Grant, request: HttpRequest, send: Send) -> dict[str, Any]:
    """The JSON object that the authority answers. What it says of a refusal is not passed on: it may hold tokens."""
    response = await send(request, Hidden(grant.hidden))
    if not 200 <= response.status <= 299:
        raise _failed(
            f"{_words(request.url)}: expected a status from 200 to 299, found {response.status}",
            retryable=response.status >= 500 or response.status == 429,
        )
    try:
        found = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        found = None
    if not isinstance(found, dict):
        raise _failed(f"{_words(request.url)}: expected a JSON object, found something else", retryable=False)
    return found


def _failed(detail: str, *, retryable: bool) -> StepFailure:
    return StepFailure(problem("authentication", detail, status=401, retryable=retryable))


def _words(url: str) -> str:
    return messages.words(HttpRequest(method="get", url=url)).partition(" ")[2]
