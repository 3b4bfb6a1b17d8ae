"""The playground: faults at their lines, a run that is watched, a simulation."""

import pytest
from playwright.sync_api import Page, expect

from .serving import Served, Visit, button

pytestmark = pytest.mark.slow


def write(page: Page, text: str) -> None:
    """Replace the document, as pasting does."""
    page.locator(".cm-content").fill(text)


def test_a_fault_is_shown_at_its_line(visit: Visit) -> None:
    page = visit.open("/console/playground")
    expect(page.get_by_test_id("verdict")).to_contain_text("a flow without faults")
    write(
        page,
        "document: {dsl: '1.0.3', namespace: n, name: n, version: '1.0.0'}\n"
        "do:\n- good:\n    set: {x: 1}\n- bad:\n    call: nobody\n",
    )
    expect(page.get_by_test_id("verdict")).to_contain_text("1 fault")
    expect(page.locator("li[data-line]")).to_have_attribute("data-line", "6")
    expect(page.locator(".cm-line.sw-faulty")).to_have_text("    call: nobody")
    expect(button(page, "Run")).to_be_disabled()
    visit.shot("playground-fault")


def test_a_flow_is_run_and_its_events_come(served: Served, visit: Visit) -> None:
    page = visit.open("/console/playground")
    page.locator("select[name='example']").select_option("A flow with branches")
    expect(page.locator(".cm-content")).to_contain_text("branches")
    button(page, "Run").click()
    expect(page.get_by_test_id("status")).to_have_text("completed")
    expect(page.get_by_test_id("history").locator("tr").last).to_have_attribute("data-type", "RunCompleted")
    link = page.get_by_role("link", name="Open").get_attribute("href") or ""
    run = served.get(link.rpartition("/")[2])
    assert run["status"] == "completed"
    visit.shot("playground")


def test_a_pipeline_is_simulated(visit: Visit) -> None:
    page = visit.open("/console/playground")
    page.locator("select[name='example']").select_option("A pipeline")
    page.locator("input[name='executions']").fill("3")
    button(page, "Simulate").click()
    messages = page.get_by_test_id("simulation").locator("tr")
    expect(messages).to_have_count(3)
    expect(messages.first).to_contain_text("Ann")


def test_what_is_run_here_does_not_take_the_place_of_a_workflow(served: Served, visit: Visit) -> None:
    page = visit.open("/console/playground")
    write(
        page,
        "document: {dsl: '1.0.3', namespace: n, name: quick, version: '9.0.0'}\n"
        "do:\n- other:\n    set: {other: true}\n",
    )
    expect(page.get_by_test_id("verdict")).to_contain_text("a flow without faults")
    button(page, "Run").click()
    expect(page.get_by_test_id("output")).to_contain_text("other")
    run_id = served.run("quick")
    served.wait_for(run_id, "completed")
    assert served.get(run_id)["output"] == {"done": True}
