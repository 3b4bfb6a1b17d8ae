"""Signing in, what somebody then sees, and a credential that is good no more."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from playwright.sync_api import Browser, expect

import stepwell
from stepwell.core.principal import Scope
from stepwell.security.keys import ApiKeys, new_key
from stepwell.settings import Settings
from stepwell.store.model import Record

from .serving import Served, Visit, button

pytestmark = pytest.mark.slow


def outside(work: Callable[[ApiKeys[Record]], Coroutine[Any, Any, None]], db: str, *, drive: bool) -> None:
    """Do something to the keys of a database; in a thread, since Playwright has a loop in this one."""

    async def do() -> None:
        async with stepwell.App(settings=Settings(db=db), drive=drive) as app:
            await work(ApiKeys(app.engine.store, row=Record))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, do()).result()


class Guarded(Served):
    """A server that has API keys: name to text. The reader belongs to ann."""

    def __init__(self, folder: Path) -> None:
        self.keys: dict[str, str] = {}
        outside(self._make, f"sqlite:///{folder}/console.db", drive=True)
        super().__init__(folder)

    async def _make(self, keys: ApiKeys[Record]) -> None:
        for name in ("ann", "ben", "eve", "reader"):
            scopes: tuple[Scope, ...] = ("read",) if name == "reader" else ("read", "write")
            owner = "ann" if name == "reader" else name
            key, self.keys[name] = new_key(name, now=time.time(), owner=owner, scopes=scopes)
            await keys.create(key)

    def revoke(self, name: str) -> None:
        """Take a key back, from another process' point of view."""

        async def do(keys: ApiKeys[Record]) -> None:
            await keys.revoke(self.keys[name].split("_")[1], now=time.time())

        outside(do, self.db, drive=False)

    def as_(self, name: str) -> None:
        """Whose key the API is asked with from now on."""
        self.client.headers["X-API-Key"] = self.keys[name]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = Guarded(tmp_path_factory.mktemp("guarded"))
    yield server
    server.stop()


@pytest.fixture
def window(browser: Browser, guarded: Guarded) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    visit = Visit(context, guarded.url)
    yield visit
    context.close()


def sign_in(visit: Visit, key: str, path: str = "/console/") -> None:
    page = visit.page
    page.goto(visit.url + path)
    page.wait_for_url("**/console/sign-in?**")
    page.get_by_label("API key or token").fill(key)
    button(page, "Sign in").click()
    page.wait_for_url("**" + path)
    page.wait_for_function("window.did_handshake")


def test_an_owner_signs_in_sees_its_own_runs_and_is_signed_out(guarded: Guarded, window: Visit) -> None:
    page = window.page
    page.goto(guarded.url + "/console/")
    page.get_by_label("API key or token").fill("ap_wrong")
    button(page, "Sign in").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    window.shot("sign-in")

    guarded.as_("ben")
    of_ben = guarded.run("order", {"name": "ben"})
    guarded.as_("ann")
    of_ann = guarded.run("order", {"name": "ann"})
    sign_in(window, guarded.keys["ann"])
    expect(page.locator(f"tr[data-run='{of_ann}']")).to_be_visible()
    expect(page.locator(f"tr[data-run='{of_ben}']")).to_have_count(0)
    page.goto(f"{guarded.url}/console/runs/{of_ben}")
    expect(page.locator(".sw-error")).to_contain_text("not there any more")

    page = window.run(of_ann)
    button(page, "Cancel").click()
    page.keyboard.press("Enter")
    guarded.wait_for(of_ann, "cancelled")
    cancelled = next(event for event in guarded.get(of_ann)["events"] if event["type"] == "run.cancelled")
    assert (cancelled["actor"]["type"], cancelled["actor"]["id"]) == ("api_key", "ann")

    cookies = {cookie["name"]: cookie for cookie in page.context.cookies(f"{guarded.url}/console/")}
    assert cookies["token"]["httpOnly"]
    assert cookies["token"]["path"] == "/console"
    page.get_by_role("link", name="Sign out").click()
    page.wait_for_url("**/console/sign-in")
    page.goto(f"{guarded.url}/console/")
    page.wait_for_url("**/console/sign-in?**")


def test_a_key_that_is_revoked_ends_the_open_page_until_somebody_signs_in(guarded: Guarded, window: Visit) -> None:
    sign_in(window, guarded.keys["eve"])
    guarded.revoke("eve")
    expect(window.page.get_by_role("status")).to_contain_text("You are signed out")
    other = Visit(window.page.context, guarded.url)
    sign_in(other, guarded.keys["ben"])
    guarded.as_("ben")
    run_id = guarded.run("order", {"name": "after"})
    window.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(window.page.locator(f"tr[data-run='{run_id}']")).to_be_visible()
    expect(window.page.get_by_role("status")).to_have_count(0)


def test_who_may_only_read_cannot_act(guarded: Guarded, window: Visit) -> None:
    guarded.as_("ann")
    run_id = guarded.run("order", {"name": "looked-at"})
    sign_in(window, guarded.keys["reader"])
    page = window.run(run_id)
    expect(button(page, "Cancel")).to_be_disabled()
    button(page, "Cancel").evaluate("button => button.disabled = false")
    button(page, "Cancel").click()
    page.keyboard.press("Enter")
    expect(page.locator(".sw-toast.bad")).to_contain_text("may read")
    assert guarded.status(run_id) == "running"


def test_signing_in_leads_to_no_other_site(guarded: Guarded) -> None:
    for next in ("https://evil.example/", "//evil.example/console/", "/console//evil.example", "/console/\\evil"):
        page = httpx.get(f"{guarded.url}/console/sign-in", params={"next": next})
        assert 'data-next="/console/"' in page.text


# --- tokens ---------------------------------------------------------------------------------------------------------

SECRET = "a shared secret of more than thirty-two bytes"
ISSUER, AUDIENCE = "https://id.example/realms/main", "stepwell"


def token(who: str, *, ends_in_s: float = 300.0) -> str:
    """A token of the identity provider."""
    now = time.time()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": who, "iat": now - 400, "exp": now + ends_in_s}
    return jwt.encode(claims, SECRET, "HS256")


@pytest.fixture(scope="module")
def provided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes tokens; the API is asked as ada."""
    folder = tmp_path_factory.mktemp("provided")
    server = Served(folder, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_secret=SECRET, jwt_leeway_s="0")
    server.client.headers["Authorization"] = f"Bearer {token('ada')}"
    yield server
    server.stop()


def test_the_holder_of_a_token_signs_in_and_acts_under_its_name(browser: Browser, provided: Served) -> None:
    run_id = provided.run("order", {"name": "token"})
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    visit = Visit(context, provided.url)
    sign_in(visit, token("ada"), f"/console/runs/{run_id}")
    button(visit.page, "Cancel").click()
    visit.page.keyboard.press("Enter")
    provided.wait_for(run_id, "cancelled")
    cancelled = next(event for event in provided.get(run_id)["events"] if event["type"] == "run.cancelled")
    assert cancelled["actor"]["id"] == "ada"
    visit.page.goto(f"{provided.url}/console/")
    expect(visit.page.locator(f"tr[data-run='{run_id}']")).to_be_visible()
    context.close()


def test_a_token_that_is_over_or_forged_does_not_sign_in(browser: Browser, provided: Served) -> None:
    context = browser.new_context()
    page = Visit(context, provided.url).page
    page.goto(f"{provided.url}/console/")
    for wrong in (token("ada", ends_in_s=-60), token("ada")[:-6] + "AAAAAA"):
        page.get_by_label("API key or token").fill(wrong)
        button(page, "Sign in").click()
        expect(page.get_by_role("alert")).not_to_be_empty()
        assert "/console/sign-in" in page.url
        page.reload()
    assert not context.cookies()
    context.close()


def test_an_open_page_ends_with_its_token(browser: Browser, provided: Served) -> None:
    context = browser.new_context()
    visit = Visit(context, provided.url)
    visit.page.goto(provided.url + "/console/")
    visit.page.get_by_label("API key or token").fill(token("ada", ends_in_s=8))
    button(visit.page, "Sign in").click()
    expect(visit.page.get_by_role("status")).to_contain_text("You are signed out")
    context.close()


def test_a_page_that_comes_back_too_late_says_that_it_is_signed_out(browser: Browser, provided: Served) -> None:
    context = browser.new_context()
    visit = Visit(context, provided.url)
    sign_in(visit, token("ada"))
    context.clear_cookies()
    visit.page.evaluate("window.socket.io.engine.close()")
    expect(visit.page.get_by_role("status")).to_contain_text("You are signed out")
    sign_in(Visit(context, provided.url), token("ada"))
    run_id = provided.run("quick")
    visit.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(visit.page.locator(f"tr[data-run='{run_id}']")).to_be_visible()
    context.close()
