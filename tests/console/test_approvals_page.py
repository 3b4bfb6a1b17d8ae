"""The inbox: what is decided there, with which data and by whom, as the API tells it."""

import pytest
from playwright.sync_api import Locator, Page, expect

from .serving import Json, Served, Visit, button

pytestmark = pytest.mark.slow


def asked(served: Served) -> tuple[str, Json]:
    run_id = served.run("ask")
    served.wait_for(run_id, "waiting_approval", "waiting")
    return run_id, served.get(run_id)["approvals"][0]


def card(page: Page, approval: Json) -> Locator:
    return page.locator(f"article[data-approval='{approval['id']}']")


def test_an_approval_is_given_with_data_and_a_comment(served: Served, visit: Visit) -> None:
    run_id, approval = asked(served)
    page = visit.open("/console/approvals")
    shown = card(page, approval)
    expect(shown).to_contain_text("Send it?")
    expect(shown).to_contain_text('"order": 7')
    visit.shot("approvals")
    shown.locator("input[name='amount']").fill("3")
    shown.locator("select[name='kind']").select_option("gift")
    shown.locator("input[name='comment']").fill("with a ribbon")
    button(shown, "Approve").click()
    served.wait_for(run_id, "completed")
    decided = served.get(run_id)["approvals"][0]
    assert decided["status"] == "approved"
    assert served.get(run_id)["output"]["data"] == {"amount": 3, "kind": "gift"}
    assert served.get(run_id)["output"]["comment"] == "with a ribbon"
    expect(card(page, approval)).to_have_count(0)


def test_the_page_of_a_run_leads_to_its_approval(served: Served, visit: Visit) -> None:
    run_id, approval = asked(served)
    other = asked(served)[1]
    page = visit.run(run_id)
    page.get_by_role("link", name="Decide").click()
    expect(card(page, approval)).to_be_visible()
    expect(card(page, other)).to_have_count(0)
    page.get_by_role("link", name="Show all").click()
    expect(card(page, other)).to_be_visible()


def test_an_approval_is_rejected(served: Served, visit: Visit) -> None:
    run_id, approval = asked(served)
    page = visit.open("/console/approvals")
    card(page, approval).locator("input[name='comment']").fill("too dear")
    button(card(page, approval), "Reject").click()
    served.wait_for(run_id, "completed", "failed")
    assert served.get(run_id)["approvals"][0]["status"] == "rejected"
    decided = next(event for event in served.get(run_id)["events"] if event["type"].startswith("approval.rej"))
    assert "too dear" in str(decided["data"])
    assert (decided["actor"]["type"], decided["actor"]["id"]) == ("local", "local")


def test_data_that_are_not_of_the_schema_are_refused(served: Served, visit: Visit) -> None:
    run_id, approval = asked(served)
    page = visit.open("/console/approvals")
    amount = card(page, approval).locator("input[name='amount']")
    amount.evaluate("input => input.removeAttribute('min')")
    amount.fill("0")
    button(card(page, approval), "Approve").click()
    expect(page.locator(".sw-toast.bad")).to_be_visible()
    assert served.get(run_id)["approvals"][0]["status"] == "pending"


def test_the_badge_counts_what_waits_on_every_page(served: Served, visit: Visit) -> None:
    page = visit.open("/console/")
    badge = page.get_by_test_id("pending")
    before = int(badge.inner_text()) if badge.count() else 0
    run_id, approval = asked(served)
    expect(badge).to_have_text(str(before + 1))
    served.client.post(f"/api/v1/workflows/{run_id}/approvals/{approval['id']}/reject", json={})
    if before:
        expect(badge).to_have_text(str(before))
    else:
        expect(badge).to_have_count(0)
