"""One server and one browser for all tests of the console; each test has a window of its own."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("nicegui")
playwright = pytest.importorskip("playwright.sync_api")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

from .serving import WAIT_S, Served, Visit  # noqa: E402  after what it needs was found

playwright.expect.set_options(timeout=WAIT_S * 1000)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("console"))
    yield server
    server.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "Chromium has to be installed where all tests must run"
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as browsers:
        chromium = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def context(browser: "Browser") -> Iterator["BrowserContext"]:
    """One for all, so that scripts are fetched and compiled once."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def visit(context: "BrowserContext", served: Served) -> Iterator[Visit]:
    """A window of 1280 by 860; no page may ask another host for anything, nor have an error."""
    visit = Visit(context, served.url)
    yield visit
    visit.page.close()
    assert not visit.foreign, "a page asked another host"
    assert not visit.errors
