"""The page of all runs: live, filtered by its address, in pages, and with commands to many at once."""

import pytest
from playwright.sync_api import expect

from .serving import Served, Visit, button

pytestmark = pytest.mark.slow


def test_the_root_leads_to_the_console_which_answers_itself(served: Served) -> None:
    root = served.client.get("/", follow_redirects=False)
    assert (root.status_code, root.headers["location"]) == (307, "/console/")
    assert served.client.get("/console", follow_redirects=False).headers["location"] == "/console/"
    page = served.client.get("/console/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_new_run_appears_and_changes_without_a_reload(served: Served, visit: Visit) -> None:
    page = visit.open()
    run_id = served.run("order", {"name": "live"})
    row = page.locator(f"tr[data-run='{run_id}']")
    expect(row.locator(".sw-status")).to_have_text("running")
    served.let_go("live")
    expect(row.locator(".sw-status")).to_have_text("completed")
    assert served.status(run_id) == "completed"
    visit.shot("runs")


def test_filters_that_are_chosen_at_once_are_all_kept(served: Served, visit: Visit) -> None:
    held = served.run("order", {"name": "at once"})
    page = visit.open()
    expect(page.locator(f"tr[data-run='{held}']")).to_be_visible()
    page.evaluate(
        """() => {
            document.querySelector("button[data-status='running']").click();
            const workflow = document.querySelector("select[name='workflow']");
            workflow.value = "order";
            workflow.dispatchEvent(new Event("change"));
        }"""
    )
    assert "status=running" in page.url
    assert "workflow=order" in page.url
    expect(page.locator("button[data-status='running']")).to_have_attribute("aria-pressed", "true")
    served.let_go("at once")


def test_filters_are_the_address_of_a_view(served: Served, visit: Visit) -> None:
    held = served.run("order", {"name": "filtered"})
    quick = served.run("quick")
    served.wait_for(quick, "completed")
    page = visit.open()
    page.locator("button[data-status='running']").click()
    page.locator("select[name='workflow']").select_option("order")
    expect(page.locator(f"tr[data-run='{held}']")).to_be_visible()
    expect(page.locator(f"tr[data-run='{quick}']")).to_have_count(0)
    address = page.url
    assert "status=running" in address
    assert "workflow=order" in address
    page.goto(address)
    expect(page.locator(f"tr[data-run='{held}']")).to_be_visible()
    expect(page.locator(f"tr[data-run='{quick}']")).to_have_count(0)
    button(page, "Clear").click()
    expect(page.locator(f"tr[data-run='{quick}']")).to_be_visible()
    page.go_back()
    expect(page.locator(f"tr[data-run='{quick}']")).to_have_count(0)
    served.let_go("filtered")


def test_door_owner_and_time_are_filters(served: Served, visit: Visit) -> None:
    served.client.post("/workflows/letter/run-nowait", json={"start_event": {"name": "anywhere"}})
    through_llama = served.newest()["id"]
    through_agents = served.run("quick")
    page = visit.open()
    page.locator("select[name='door']").select_option("llama")
    expect(page.locator(f"tr[data-run='{through_llama}']")).to_be_visible()
    expect(page.locator(f"tr[data-run='{through_agents}']")).to_have_count(0)
    page.locator("select[name='door']").select_option("agents")
    expect(page.locator(f"tr[data-run='{through_agents}']")).to_be_visible()
    expect(page.locator(f"tr[data-run='{through_llama}']")).to_have_count(0)
    page.locator("select[name='since']").select_option("15m")
    expect(page.locator(f"tr[data-run='{through_agents}']")).to_be_visible()
    page.locator("select[name='since']").select_option("custom")
    page.locator("input[name='to']").fill("2020-01-01T00:00")
    page.locator("input[name='to']").blur()
    expect(page.get_by_text("No run is like that")).to_be_visible()
    assert "to=" in page.url
    page.locator("input[name='to']").fill("")
    page.locator("input[name='to']").blur()
    expect(page.locator(f"tr[data-run='{through_agents}']")).to_be_visible()
    page.locator("input[name='owner']").fill("nobody")
    page.locator("input[name='owner']").press("Enter")
    expect(page.get_by_text("No run is like that")).to_be_visible()
    assert "owner=nobody" in page.url
    served.let_go("anywhere")


def test_a_page_that_nobody_sees_rests_until_somebody_does(served: Served, visit: Visit) -> None:
    page = visit.open("/console/?workflow=quick")
    show = "state => { Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});"
    show += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(show, "hidden")
    run_id = served.run("quick")
    served.wait_for(run_id, "completed")
    page.evaluate(show, "visible")
    expect(page.locator(f"tr[data-run='{run_id}']")).to_be_visible()


def test_a_search_finds_a_run_by_its_id(served: Served, visit: Visit) -> None:
    runs = [served.run("quick") for _ in range(3)]
    page = visit.open()
    page.keyboard.press("/")
    page.keyboard.type(runs[1])
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator(f"tr[data-run='{runs[1]}']")).to_be_visible()


def test_older_runs_are_on_the_next_page(served: Served, visit: Visit) -> None:
    oldest = served.run("quick")
    for _ in range(50):
        newest = served.run("quick")
    page = visit.open("/console/?workflow=quick")
    expect(page.locator("tbody tr")).to_have_count(50)
    button(page, "Older").click()
    expect(page.locator(f"tr[data-run='{oldest}']")).to_be_visible()
    assert "before=" in page.url
    button(page, "Newest").click()
    expect(page.locator(f"tr[data-run='{newest}']")).to_be_visible()


def test_chosen_runs_are_cancelled_and_then_retried(served: Served, visit: Visit) -> None:
    runs = [served.run("order", {"name": "bulk"}) for _ in range(2)]
    other = served.run("order", {"name": "bulk"})
    page = visit.open()
    for run_id in runs:
        page.get_by_label(f"Choose run {run_id}").check()
    button(page, "Cancel").click()
    button(page, "Yes, cancel").click()
    for run_id in runs:
        served.wait_for(run_id, "cancelled")
        assert served.actor(run_id, "run.cancelled") == "local local"
    assert served.status(other) == "running"
    for run_id in runs:
        page.get_by_label(f"Choose run {run_id}").check()
    button(page, "Retry").click()
    button(page, "Yes, retry").click()
    for run_id in runs:
        served.wait_for(run_id, "running")
        assert served.actor(run_id, "run.retried") == "local local"
    served.let_go("bulk")
    served.wait_for(other, "completed")


def test_the_table_works_by_keyboard(served: Served, visit: Visit) -> None:
    older, newer = served.run("quick"), served.run("quick")
    page = visit.open("/console/?workflow=quick")
    for run_id in (older, newer):  # a page that is new may show for a moment what another saw before
        page.locator(f"tr[data-run='{run_id}']").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_label(f"Choose run {older}")).to_be_checked()
    expect(page.get_by_label(f"Choose run {newer}")).not_to_be_checked()
    newest = served.run("quick")
    page.locator(f"tr[data-run='{newest}']").wait_for()
    page.keyboard.press("k")
    page.keyboard.press("x")
    expect(page.get_by_label(f"Choose run {newer}")).to_be_checked()  # one above where it was, also now
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/runs/{older}")


def test_dark_is_kept(served: Served, visit: Visit) -> None:
    served.run("quick")
    page = visit.open()
    page.get_by_label("Dark theme").click()
    page = visit.open()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    page.get_by_label("Light theme").click()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
