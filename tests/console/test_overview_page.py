"""The overview: totals and counters, as they change."""

import pytest
from playwright.sync_api import expect

from .serving import Served, Visit

pytestmark = pytest.mark.slow


def test_totals_and_causes_follow_the_runs(served: Served, visit: Visit) -> None:
    page = visit.open("/console/overview")
    before = int(page.get_by_test_id("failed").inner_text().replace(",", ""))
    served.let_go("go")
    run_id = served.run("fragile", {"name": "nowhere"})
    served.wait_for(run_id, "failed")
    expect(page.get_by_test_id("failed")).to_have_text(str(before + 1))
    expect(page.locator("tr[data-cause='runtime']")).to_be_visible()
    expect(page.locator("svg.sw-chart rect.failed")).not_to_have_count(0)
    visit.shot("overview")


def test_the_process_that_drives_is_among_the_nodes(served: Served, visit: Visit) -> None:
    page = visit.open("/console/overview")
    row = page.locator("section[aria-label='Nodes'] tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_have_attribute("data-node", str(served.pid))
    expect(row).to_contain_text("now")
