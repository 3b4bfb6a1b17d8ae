"""The page of one run: each command's effect is asked of the API, and what the page shows comes without a reload."""

import json

import pytest
from playwright.sync_api import Page, expect

from .serving import Served, Visit, button, until

pytestmark = pytest.mark.slow


def status(page: Page, expected: str) -> None:
    expect(page.get_by_test_id("status")).to_contain_text(expected)


def command(page: Page, name: str) -> None:
    """Press a command, and the button of its dialog."""
    button(page, name).click()
    button(page.locator("dialog[open]"), name).click()


def types(served: Served, run_id: str) -> list[str]:
    return [event["type"] for event in served.get(run_id)["events"]]


def test_a_run_is_paused_and_resumed(served: Served, visit: Visit) -> None:
    run_id = served.run("order", {"name": "paused"})
    page = visit.run(run_id)
    button(page, "Pause").click()
    page.locator("dialog[open] input[name='reason']").fill("lunch")
    button(page.locator("dialog[open]"), "Pause").click()
    status(page, "paused")
    assert served.status(run_id) == "paused"
    paused = next(event for event in served.get(run_id)["events"] if event["type"] == "run.paused")
    assert paused["data"]["reason"] == "lunch"
    assert paused["actor"]["type"] == "local"
    button(page, "Resume").click()
    served.let_go("paused")
    status(page, "completed")
    assert served.status(run_id) == "completed"


def test_a_run_is_stopped_after_its_step_in_flight(served: Served, visit: Visit) -> None:
    run_id = served.run("order", {"name": "stopped"})
    page = visit.run(run_id)
    command(page, "Stop")
    until(lambda: "run.stop_requested" in types(served, run_id), because="it was told to stop")
    served.let_go("stopped")
    status(page, "cancelled")
    assert served.status(run_id) == "cancelled"


def test_a_run_is_cancelled_with_a_reason(served: Served, visit: Visit) -> None:
    run_id = served.run("order", {"name": "never"})
    page = visit.run(run_id)
    button(page, "Cancel").click()
    page.keyboard.type("changed my mind")
    page.keyboard.press("Enter")
    status(page, "cancelled")
    assert served.status(run_id) == "cancelled"
    expect(page.get_by_text("changed my mind").first).to_be_visible()


def test_a_failed_run_says_why_and_is_retried(served: Served, visit: Visit) -> None:
    served.let_go("go")
    run_id = served.run("fragile", {"name": "spare"})
    served.wait_for(run_id, "failed")
    page = visit.run(run_id)
    expect(page.locator(".sw-error")).to_contain_text("spare is missing")
    expect(page.locator(".sw-lane[data-step='/do/1/second']")).to_have_attribute("data-status", "failed")
    served.let_go("spare")
    command(page, "Retry")
    status(page, "completed")
    first, second = served.get(run_id)["steps"]
    assert (len(first["attempts"]), len(second["attempts"])) == (1, 2)


def test_a_run_is_retried_from_a_step_of_the_timeline(served: Served, visit: Visit) -> None:
    served.let_go("go")
    run_id = served.run("fragile", {"name": "other"})
    served.wait_for(run_id, "failed")
    page = visit.run(run_id)
    served.let_go("other")
    button(page.locator(".sw-lane[data-step='/do/0/first']"), "first").click()
    button(page, "Retry from here").click()
    status(page, "completed")
    assert [len(step["attempts"]) for step in served.get(run_id)["steps"]] == [2, 2]


def test_a_run_is_rolled_back_and_left_paused(served: Served, visit: Visit) -> None:
    served.let_go("go")
    run_id = served.run("fragile", {"name": "absent"})
    served.wait_for(run_id, "failed")
    page = visit.run(run_id)
    button(page, "Roll back").click()
    expect(page.locator("dialog[open] select option")).to_have_count(1)
    button(page.locator("dialog[open]"), "Roll back").click()
    status(page, "paused")
    assert served.status(run_id) == "paused"
    assert "run.rolled_back" in types(served, run_id)


def test_a_run_is_forked_with_another_input(served: Served, visit: Visit) -> None:
    served.let_go("old")
    run_id = served.run("order", {"name": "old"})
    served.wait_for(run_id, "completed")
    page = visit.run(run_id)
    button(page, "Fork").click()
    text = page.locator("dialog[open] textarea")
    assert json.loads(text.input_value()) == {"name": "old"}
    text.fill('{"name": "new"')
    button(page.locator("dialog[open]"), "Fork").click()
    expect(page.locator(".sw-toast.bad")).to_contain_text("no JSON")
    button(page, "Fork").click()
    text.fill('{"name": "new", "amount": 3}')
    button(page.locator("dialog[open]"), "Fork").click()
    page.wait_for_url(lambda url: url.startswith(f"{served.url}/console/runs/") and run_id not in url)
    forked = served.get(page.url.rpartition("/")[2])
    assert forked["input"] == {"name": "new", "amount": 3}
    served.let_go("new")


def test_graph_timeline_and_history_follow_the_run(served: Served, visit: Visit) -> None:
    run_id = served.run("order", {"name": "watched"})
    page = visit.run(run_id)
    graph = page.locator(".sw-graph")
    expect(graph.locator("g.node[data-status='running']")).to_contain_text("pack")
    expect(page.locator(".sw-lane[data-step='/do/1/pack']")).to_have_attribute("data-status", "running")
    served.let_go("watched")
    expect(graph.locator("g.node[data-status='completed']")).to_have_count(3)
    expect(page.locator(".sw-lane[data-status='completed']")).to_have_count(3)
    seqs = page.get_by_test_id("history").locator("tr")
    expect(seqs.last).to_have_attribute("data-type", "RunCompleted")
    found = [row.get_attribute("data-seq") for row in seqs.all()]
    assert found == [str(seq) for seq in range(1, len(served.get(run_id)["events"]) + 1)]
    visit.shot("run")


def test_graph_of_a_llamaindex_workflow_follows_its_run(served: Served, visit: Visit) -> None:
    answer = served.client.post("/workflows/letter/run-nowait", json={"start_event": {"name": "posted"}})
    run_id = served.newest()["id"]
    assert answer.is_success, answer.text
    page = visit.run(run_id)
    graph = page.locator(".sw-graph")
    expect(graph.locator("g.node[data-status='completed']")).to_contain_text("draft")
    expect(graph.locator("g.node[data-status='running']")).to_contain_text("polish")
    expect(graph.locator("g.node", has_text="Drafted")).to_have_count(1)
    visit.shot("run-llamaindex")
    served.let_go("posted")
    expect(graph.locator("g.node[data-status='completed']")).to_have_count(2)
    assert served.status(run_id) == "completed"


def test_the_log_stands_still_while_it_is_paused(served: Served, visit: Visit) -> None:
    run_id = served.run("order", {"name": "tail"})
    page = visit.run(run_id)
    log = page.locator("section[aria-label='Log']")
    rows = page.get_by_test_id("history").locator("tr")
    expect(rows.last).to_have_attribute("data-type", "AttemptStarted")
    button(log, "Pause the log").click()
    before = rows.count()
    served.let_go("tail")
    status(page, "completed")
    assert rows.count() == before
    button(log, "Go on with the log").click()
    expect(rows.last).to_have_attribute("data-type", "RunCompleted")


def test_values_stream_and_download(served: Served, visit: Visit) -> None:
    run_id = served.run("thinking", {"name": "thought"})
    page = visit.run(run_id)
    page.locator("section[aria-label='Log']").get_by_role("tab", name="Stream").click()
    stream = page.get_by_test_id("stream")
    expect(stream.locator("tr").first).to_contain_text("about thought")
    expect(stream.locator("tr").last).to_contain_text('{"seen":"thought"}')
    served.let_go("thought")
    expect(page.locator("[data-value='Output']")).to_contain_text("thought let go")
    page.get_by_role("tab", name="Input").click()
    expect(page.locator("[data-value='Input']")).to_contain_text('"name": "thought"')
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    document = json.loads(download.value.path().read_text())
    assert document["run"]["output"] == "thought let go"
    assert document["history"][0]["type"] == "RunCreated"
    assert len(document["history"]) == len(served.get(run_id)["events"])


def test_a_run_that_is_not_there_is_said_so(served: Served, visit: Visit) -> None:
    page = visit.open("/console/runs/01a20000-0000-7000-8000-000000000000")
    expect(page.locator(".sw-error")).to_contain_text("not there any more")
    answer = served.client.get("/console/runs/nothing/download")
    assert answer.status_code == 404
