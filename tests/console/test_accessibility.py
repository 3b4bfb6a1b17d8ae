"""Every page in light and dark, looked at by axe-core: nothing serious may be found."""

import pytest
from playwright.sync_api import Page

from .serving import Served, Visit

axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = pytest.mark.slow

PAGES = (
    "/console/",
    "/console/runs/{run}",
    "/console/approvals",
    "/console/workflows?name=order",
    "/console/playground",
    "/console/overview",
    "/console/sign-in",
)
LIBRARYS = (".cm-editor", "#popup", "#too_long_message_popup")
"""What NiceGUI brings: the editor and its own messages."""


def serious(page: Page) -> list[str]:
    """What axe finds to be serious or critical, with the places."""
    options = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    context = {"exclude": [[place] for place in LIBRARYS]}
    found = axe_playwright.Axe().run(page, context=context, options=options).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:4]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_finding(served: Served, visit: Visit, theme: str) -> None:
    served.let_go("go")
    run_id = served.run("fragile", {"name": "unreachable"})
    served.wait_for(run_id, "failed")
    served.run("ask")
    page = visit.page
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    found: dict[str, list[str]] = {}
    for path in PAGES:
        page.goto(visit.url + path.format(run=run_id))
        page.locator("main h1, main h2").first.wait_for()
        if not path.endswith("sign-in"):
            page.wait_for_function("window.did_handshake")
        if faults := serious(page):
            found[path] = faults
    assert not found
