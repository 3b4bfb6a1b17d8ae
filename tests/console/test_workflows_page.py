"""Workflows: what is there, starting a run by its form, and times at which it starts by itself."""

import pytest
from playwright.sync_api import expect

from .serving import Served, Visit, button

pytestmark = pytest.mark.slow


def test_a_run_is_started_by_the_form_of_its_schema(served: Served, visit: Visit) -> None:
    page = visit.open("/console/workflows?name=order")
    page.locator("input[name='name']").fill("formed")
    expect(page.locator("input[name='amount']")).to_have_value("1")
    page.locator("input[name='amount']").fill("4")
    page.locator("input[name='express']").check()
    expect(page.locator(".sw-graph g.node")).not_to_have_count(0)
    visit.shot("workflows")
    button(page, "Start a run").click()
    page.wait_for_url(f"{served.url}/console/runs/*")
    run = served.get(page.url.rpartition("/")[2])
    assert run["input"] == {"name": "formed", "amount": 4, "express": True}
    served.let_go("formed")


def test_input_without_a_schema_is_json(served: Served, visit: Visit) -> None:
    page = visit.open("/console/workflows?name=quick")
    data = page.locator("textarea[name='data']")
    data.fill("{not json")
    expect(button(page, "Start a run")).to_be_disabled()
    data.fill('{"x": [1, 2]}')
    button(page, "Start a run").click()
    page.wait_for_url(f"{served.url}/console/runs/*")
    assert served.get(page.url.rpartition("/")[2])["input"] == {"x": [1, 2]}


def test_a_template_is_started_in_an_older_version(served: Served, visit: Visit) -> None:
    for name in ("first", "second"):
        served.template("Versions", {"key": name, "type": "wait", "config": {"seconds": 0}})
    page = visit.open("/console/workflows")
    page.get_by_role("navigation", name="Workflows").get_by_role("link", name="Versions").click()
    versions = page.locator("select[name='version']")
    expect(versions.locator("option")).to_have_count(2)
    versions.select_option("1")
    expect(page.locator(".sw-graph g.node")).to_contain_text("first")
    button(page, "Start a run").click()
    page.wait_for_url(f"{served.url}/console/runs/*")
    run_id = page.url.rpartition("/")[2]
    served.wait_for(run_id, "completed")
    assert [step["key"] for step in served.get(run_id)["steps"]] == ["first"]
    assert served.actor(run_id, "run.created") == "local local"


def test_source_and_address_of_a_workflow(visit: Visit) -> None:
    page = visit.open("/console/workflows")
    page.get_by_role("navigation", name="Workflows").get_by_role("link", name="fragile").click()
    expect(page.get_by_role("heading", name="fragile")).to_be_visible()
    assert page.url.endswith("name=fragile")
    page.get_by_role("tab", name="Source").click()
    expect(page.get_by_test_id("source")).to_contain_text("call: need")


def test_a_schedule_is_made_paused_and_removed(served: Served, visit: Visit) -> None:
    page = visit.open("/console/workflows?name=quick")
    page.get_by_role("tab", name="Schedule").click()
    page.locator("input[name='every']").fill("0.2")
    button(page, "Schedule").click()
    row = page.locator("tr[data-schedule]")
    expect(row).to_contain_text("every 200 ms")
    expect(row.locator("a")).to_be_visible()
    fired = (row.locator("a").get_attribute("href") or "").rpartition("/")[2]
    served.wait_for(fired, "completed")
    button(row, "Pause").click()
    expect(row).to_contain_text("paused")
    button(row, "Remove").click()
    expect(row).to_have_count(0)


def test_a_cron_expression_that_is_none_is_refused(visit: Visit) -> None:
    page = visit.open("/console/workflows?name=quick")
    page.get_by_role("tab", name="Schedule").click()
    page.locator("input[name='cron']").fill("every day")
    button(page, "Schedule").click()
    expect(page.locator(".sw-toast.bad")).to_contain_text("cron")
