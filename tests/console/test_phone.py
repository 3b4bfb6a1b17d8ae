"""Every page on a phone: nothing is wider than the screen, and what there is to press can be reached."""

import pytest
from playwright.sync_api import Browser, expect

from .serving import Served, Visit, button, until

pytestmark = pytest.mark.slow

WIDTH = 390


def test_every_page_fits_a_phone(served: Served, browser: Browser) -> None:
    served.let_go("go")
    failed = served.run("fragile", {"name": "a file with a rather long name that a phone has to break"})
    served.wait_for(failed, "failed")
    run_id = served.run("parcel", {"order": 4711})
    until(lambda: served.get(run_id)["approvals"], because="it asks")
    context = browser.new_context(viewport={"width": WIDTH, "height": 844}, has_touch=True, is_mobile=True)
    visit = Visit(context, served.url)
    places = {
        "runs": "",
        "run": f"runs/{run_id}",
        "run-failed": f"runs/{failed}",
        "workflows": "workflows?name=order",
    }
    places |= {name: name for name in ("approvals", "playground", "overview")}
    wide = {}
    for name, place in places.items():
        page = visit.open(f"/console/{place}")
        page.locator("main h1, main h2").first.wait_for()
        wide[name] = page.evaluate("document.documentElement.scrollWidth")
        visit.shot(f"phone-{name}")
    assert wide == dict.fromkeys(places, WIDTH)

    page = visit.open()
    row = page.locator(f"tr[data-run='{failed}']")
    expect(row).to_contain_text("is missing")
    for part in ("td.box input", "td.started", "td.took", ".sw-status"):
        box = row.locator(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= WIDTH, part
    row.get_by_role("link").tap()
    expect(page.get_by_test_id("status")).to_have_text("failed")
    served.let_go("a file with a rather long name that a phone has to break")
    button(page, "Retry").tap()
    button(page.locator("dialog[open]"), "Retry").tap()
    served.wait_for(failed, "completed")
    assert not visit.errors
    context.close()
