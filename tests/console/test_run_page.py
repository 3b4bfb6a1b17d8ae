"""The page of one run: each command's effect is asked of the API, and what the page shows comes without a reload."""

import json

import pytest
from playwright.sync_api import Page, expect

from .serving import Json, Served, Visit, button, until

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
    assert served.actor(run_id, "run.paused") == "local local"
    button(page, "Resume").click()
    served.let_go("paused")
    status(page, "completed")
    assert served.status(run_id) == "completed"
    assert served.actor(run_id, "run.resumed") == "local local"


def test_a_run_is_stopped_after_its_step_in_flight(served: Served, visit: Visit) -> None:
    run_id = served.run("order", {"name": "stopped"})
    page = visit.run(run_id)
    command(page, "Stop")
    until(lambda: "run.stop_requested" in types(served, run_id), because="it was told to stop")
    assert served.actor(run_id, "run.stop_requested") == "local local"
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
    assert served.actor(run_id, "run.cancelled") == "local local"
    expect(page.get_by_text("changed my mind").first).to_be_visible()


def test_a_failed_run_says_why_and_is_retried(served: Served, visit: Visit) -> None:
    served.let_go("go")
    run_id = served.run("fragile", {"name": "spare"})
    served.wait_for(run_id, "failed")
    page = visit.run(run_id)
    expect(page.locator(".sw-error")).to_contain_text("spare is missing")
    expect(page.locator("[data-value='Error']")).to_contain_text('"detail": "spare is missing"')
    expect(page.locator(".sw-lane[data-step='/do/1/second']")).to_have_attribute("data-status", "failed")
    served.let_go("spare")
    command(page, "Retry")
    status(page, "completed")
    first, second = served.get(run_id)["steps"]
    assert (len(first["attempts"]), len(second["attempts"])) == (1, 2)
    assert served.actor(run_id, "run.retried") == "local local"


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
    assert served.actor(run_id, "run.rolled_back") == "local local"


def test_a_run_is_rolled_back_to_after_a_step_of_the_timeline(served: Served, visit: Visit) -> None:
    served.let_go("go")
    run_id = served.run("fragile", {"name": "gone"})
    served.wait_for(run_id, "failed")
    page = visit.run(run_id)
    button(page.locator(".sw-lane[data-step='/do/0/first']"), "first").click()
    button(page, "Roll back to after this").click()
    status(page, "paused")
    served.let_go("gone")
    button(page, "Resume").click()
    status(page, "completed")
    assert [len(step["attempts"]) for step in served.get(run_id)["steps"]] == [1, 2], "only the second is done again"
    assert served.actor(run_id, "run.rolled_back") == "local local"


def test_a_run_is_forked_at_a_point(served: Served, visit: Visit) -> None:
    served.let_go("go")
    served.let_go("point")
    run_id = served.run("fragile", {"name": "point"})
    served.wait_for(run_id, "completed")
    page = visit.run(run_id)
    button(page, "Fork").click()
    point = page.locator("dialog[open] select option", has_text="/do/0/first").last
    page.locator("dialog[open] select").select_option(point.get_attribute("value"))
    button(page.locator("dialog[open]"), "Fork").click()
    page.wait_for_url(lambda url: url.startswith(f"{served.url}/console/runs/") and run_id not in url)
    forked = page.url.rpartition("/")[2]
    served.wait_for(forked, "completed")
    first = next(step for step in served.get(forked)["steps"] if step["key"] == "/do/0/first")
    assert first["completed_at"] == served.get(run_id)["steps"][0]["completed_at"], "its outcome was taken along"


def test_a_run_is_retried_with_the_newest_version(served: Served, visit: Visit) -> None:
    def step(name: str) -> Json:
        return {
            "key": "one",
            "type": "task",
            "config": {"action": "function", "function": "need", "args": {"name": name}},
        }

    template = served.template("Newest", step("not here"))
    started = served.client.post("/api/v1/workflows", json={"template_id": template, "input": {}}).json()
    run_id = started.get("data", started)["id"]
    served.wait_for(run_id, "failed")
    served.let_go("newest")
    served.template("Newest", step("newest"))
    page = visit.run(run_id)
    button(page, "Retry").click()
    page.locator("dialog[open] input[name='latest']").check()
    button(page.locator("dialog[open]"), "Retry").click()
    status(page, "completed")
    assert served.get(run_id)["output"] == "newest found"


def test_what_a_cancelled_run_has_done_is_undone(served: Served, visit: Visit) -> None:
    def call(function: str, name: str) -> Json:
        return {"action": "function", "function": function, "args": {"name": name}}

    served.let_go("book")
    book = {"key": "book", "type": "task", "config": call("need", "book"), "compensate": call("undone", "book")}
    template = served.template("Undo", book, {"key": "pack", "type": "task", "config": call("hold", "undo-pack")})
    started = served.client.post("/api/v1/workflows", json={"template_id": template, "input": {}}).json()
    run_id = started.get("data", started)["id"]
    page = visit.run(run_id)
    expect(page.locator(".sw-lane[data-step='book']")).to_have_attribute("data-status", "completed")
    button(page, "Cancel").click()
    page.locator("dialog[open] input[name='compensate']").check()
    button(page.locator("dialog[open]"), "Cancel").click()
    status(page, "cancelled")
    until((served.folder / "book is undone").exists, because="what was booked is given back")


def test_the_timeline_has_attempts_delays_and_waits(served: Served, visit: Visit) -> None:
    run_id = served.run("parcel", {"order": 1})
    until(lambda: served.get(run_id)["approvals"], because="it asks")
    page = visit.run(run_id)
    rates = page.locator(".sw-lane", has_text="exchangeRates")
    expect(rates.locator(".sw-bar.failed")).to_have_count(2)
    expect(rates.locator(".sw-bar.delay")).to_have_count(2)
    expect(rates.locator(".sw-bar.completed")).to_have_count(1)
    expect(page.locator(".sw-lane", has_text="reserveVan").locator(".sw-bar.wait")).to_have_count(1)
    expect(page.locator(".sw-lane", has_text="release").locator(".sw-bar.wait.open")).to_have_count(1)
    rates.locator("button.name").click()
    detail = page.get_by_role("region", name="Step")
    expect(detail).to_contain_text("the bank does not answer")
    expect(detail).to_contain_text('"USD": 1.09')


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
    assert served.actor(forked["id"], "run.created") == "local local"
    served.let_go("new")


def test_graph_timeline_and_history_follow_the_run(served: Served, visit: Visit) -> None:
    run_id = served.run("order", {"name": "watched"})
    page = visit.run(run_id)
    graph = page.locator(".sw-graph")
    expect(graph.locator("g.node[data-status='running']")).to_contain_text("pack")
    expect(page.locator(".sw-lane[data-step='/do/1/pack']")).to_have_attribute("data-status", "running")
    expect(graph.locator("g.node[data-status='passed']")).to_contain_text("price")
    served.let_go("watched")
    expect(graph.locator("g.node[data-status='completed']")).to_have_count(3)
    expect(graph.locator("g.node[data-status='passed']")).to_have_count(3)  # and the fork, and what is behind it
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
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(page.locator("section[aria-label='Values']"), "Copy").click()
    expect(button(page.locator("section[aria-label='Values']"), "Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == '"thought let go"'
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
