"""Signing in: a credential (an API key or a token) sent once in a header, then kept by the browser in a cookie.

The cookie is the credential itself, kept from scripts (HttpOnly), from other sites (SameSite) and from the other
doors (its path): there is no session of ours that could outlive a key that was revoked.
"""

from html import escape
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Scope

from stepwell.console.theme import SIGN_IN_STYLE
from stepwell.doors.problem import PROBLEMS
from stepwell.security.middleware import call_of, principal_of
from stepwell.security.refusals import Refusal

SIGN_IN: Final = "/console/sign-in"
_COOKIE_PATH: Final = "/console"

_SCRIPT: Final = """
const form = document.querySelector("form"), say = document.querySelector("[role=alert]");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say.textContent = "";
  form.querySelector("button").disabled = true;
  try {
    const answer = await fetch("/console/session", {
      headers: {Authorization: "Bearer " + form.credential.value.trim()},
    });
    if (answer.ok) return location.replace(form.dataset.next);
    const problem = await answer.json();
    say.textContent = problem.detail || "this was not accepted";
  } catch (error) {
    say.textContent = "The server cannot be reached. Try again.";
  }
  form.querySelector("button").disabled = false;
  form.credential.focus();
});
"""


def refuse(scope: Scope, refusal: Refusal) -> ASGIApp:
    """A page leads to signing in; anything else is told in problem JSON."""
    headers = Headers(scope=scope)
    is_page = scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if refusal.status != 401 or not is_page:
        return PROBLEMS.refuse(scope, refusal)
    query = scope.get("query_string", b"").decode("latin-1")
    here = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{SIGN_IN}?next={quote(here, safe='')}", 303)


def sign_in_routes(cookie: str, *, secure: bool) -> list[BaseRoute]:
    """The page, and where a credential is sent to; below the console's path.

    What is in the header has been verified like any door's. It is sent with GET: who may only read signs in too, and
    no page of others can send that header. The page drops the cookie, so to go there is to sign out.
    """

    async def page(request: Request) -> Response:
        html = _html(_own(request.query_params.get("next", "")))
        response = HTMLResponse(html, headers={"Cache-Control": "no-store"})
        response.delete_cookie(cookie, path=_COOKIE_PATH)
        return response

    async def begin(request: Request) -> Response:
        sent = call_of(request.scope)
        credential = (sent.one("authorization") or "").partition(" ")[2].strip() or sent.one("x-api-key") or ""
        answer = Response(msgspec.json.encode({"name": principal_of(request).display}), media_type="application/json")
        answer.headers["Cache-Control"] = "no-store"
        if credential:
            is_https = secure or request.url.scheme == "https"
            answer.set_cookie(cookie, credential, path=_COOKIE_PATH, secure=is_https, httponly=True, samesite="lax")
        return answer

    return [Route("/sign-in", page), Route("/session", begin)]


def _own(path: str) -> str:
    """A path of the console; whatever else somebody put into the link leads to its first page."""
    return path if path.startswith("/console/") and "\\" not in path and "//" not in path else "/console/"


def _html(next: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in · Stepwell</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{SIGN_IN_STYLE}</style><main><h1>Stepwell</h1>"
        f'<form data-next="{escape(next)}"><label for="credential">API key or token</label>'
        '<input id="credential" name="credential" type="password" autocomplete="current-password" required autofocus>'
        '<p role="alert"></p><button>Sign in</button></form>'
        "<p class=hint>An API key is made with <code>stepwell keys create</code>.</p></main>"
        f"<script>{_SCRIPT}</script></html>"
    )
