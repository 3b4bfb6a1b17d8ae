"""The overview: totals and counters, as they change."""

import re

import pytest
from playwright.sync_api import expect

from stepwell.engine.ids import workflow_uuid

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
    expect(page.locator("section[aria-label='Step latency']")).to_contain_text("p99 ≤")
    expect(page.get_by_test_id("queued")).to_have_text("0")
    on_disk = page.get_by_test_id("disk")
    expect(on_disk).to_have_text(re.compile(r"^\d+ kB$|^[\d.]+ MB$"))
    visit.shot("overview")


def test_a_run_that_has_to_wait_is_in_the_queue(served: Served, visit: Visit) -> None:
    page = visit.open("/console/overview")
    later = {"template_id": workflow_uuid("quick"), "input": {}, "scheduled_at": "2999-01-01T00:00:00Z"}
    answer = served.client.post("/api/v1/workflows", json=later)
    assert answer.is_success, answer.text
    expect(page.get_by_test_id("queued")).to_have_text("1")
    body = answer.json()
    served.client.post(f"/api/v1/workflows/{body.get('data', body)['id']}/cancel", json={})
    expect(page.get_by_test_id("queued")).to_have_text("0")


def test_the_process_that_drives_is_among_the_nodes(served: Served, visit: Visit) -> None:
    page = visit.open("/console/overview")
    row = page.locator("section[aria-label='Nodes'] tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_have_attribute("data-node", str(served.pid))
    expect(row).to_contain_text("now")
