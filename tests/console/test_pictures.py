"""The pictures of the documentation, drawn from a real server. With STEPWELL_TEST_PICTURES set they replace those in
`docs/images`; without, that all of what they show can be drawn is still tested.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from .serving import ARTEFACTS, Served, Visit, button, until

pytestmark = pytest.mark.slow

IMAGES = Path(__file__).parents[2] / "docs" / "images"
FOLDER = IMAGES if os.environ.get("STEPWELL_TEST_PICTURES") else ARTEFACTS


def test_pictures_of_the_documentation(served: Served, browser: Browser) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    served.let_go("go")
    for number in range(4):
        served.run("quick", {"number": number})
    served.run("fragile", {"name": "customs form"})
    served.run("order", {"name": "in hand"})
    run_id = served.run("parcel", {"order": 4711})
    until(lambda: served.get(run_id)["approvals"], because="it asks")
    context = browser.new_context(viewport={"width": 1160, "height": 760}, color_scheme="light")
    visit = Visit(context, served.url)

    page = visit.open("/console/")
    expect(page.locator(f"tr[data-run='{run_id}']")).to_be_visible()
    page.screenshot(path=FOLDER / "console-runs.png")

    page.emulate_media(color_scheme="dark")
    page = visit.run(run_id)
    expect(page.locator(".sw-graph g.node[data-status='waiting']")).to_have_count(1)
    expect(page.locator(".sw-lane")).to_have_count(5)
    page.screenshot(path=FOLDER / "console-run.png")

    page.emulate_media(color_scheme="light")
    page = visit.open("/console/approvals")
    card = page.locator("article", has_text="Release order 4711").first
    expect(card).to_be_visible()
    page.screenshot(path=FOLDER / "console-approvals.png")
    card.locator("select").select_option("post")
    button(card, "Approve").click()
    served.wait_for(run_id, "completed")
    assert served.get(run_id)["output"] == "done"
    served.let_go("in hand")
    context.close()
