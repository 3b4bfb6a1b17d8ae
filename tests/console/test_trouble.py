"""What a page says while something is wrong, and that it goes on by itself: no test here reloads a page."""

import subprocess
import sys
from collections.abc import Iterator

import apsw
import pytest
from playwright.sync_api import Browser, Route, expect

from .serving import Served, Visit

pytestmark = pytest.mark.slow

PRUNE = """
import asyncio, sys, time, stepwell
async def prune():
    async with stepwell.App(db=sys.argv[1], drive=False) as app:
        await app.engine.prune(ended_before=time.time() + 60)
asyncio.run(prune())
"""
"""As the duty of retention does it, from a process of its own."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("trouble"))
    yield server
    server.stop()


@pytest.fixture
def window(browser: Browser, own: Served) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    yield Visit(context, own.url)
    context.close()


def test_a_database_that_cannot_be_read_is_told_until_it_can(own: Served, window: Visit) -> None:
    page = window.open()
    connection = apsw.Connection(str(own.folder / "console.db"))
    connection.execute("ALTER TABLE run RENAME TO run_away")
    try:
        expect(page.get_by_role("status")).to_contain_text("goes on by itself")
    finally:
        connection.execute("ALTER TABLE run_away RENAME TO run")
        connection.close()
    expect(page.get_by_role("status")).to_have_count(0)
    run_id = own.run("quick")
    expect(page.locator(f"tr[data-run='{run_id}']")).to_be_visible()


def test_a_lost_connection_is_told_and_comes_back(own: Served, window: Visit) -> None:
    page = window.open("/console/?workflow=quick")
    own.kill()
    expect(page.locator("#popup")).to_be_visible()
    own.start()
    run_id = own.run("quick")
    expect(page.locator(f"tr[data-run='{run_id}']")).to_be_visible()
    assert page.url.endswith("workflow=quick")
    expect(page.locator("#popup")).not_to_be_visible()


def test_the_page_of_a_run_goes_on_after_a_lost_connection(own: Served, window: Visit) -> None:
    run_id = own.run("order", {"name": "crash"})
    page = window.run(run_id)
    rows = page.get_by_test_id("history").locator("tr")
    expect(rows.last).to_have_attribute("data-type", "AttemptStarted")
    own.kill()
    expect(page.locator("#popup")).to_be_visible()
    window.shot("lost-connection")
    own.let_go("crash")
    own.start()
    expect(page.get_by_test_id("status")).to_contain_text("completed")
    expect(page.locator("#popup")).not_to_be_visible()
    expect(rows.last).to_have_attribute("data-type", "RunCompleted")
    seqs = [row.get_attribute("data-seq") for row in rows.all()]
    assert seqs == [str(seq) for seq in range(1, len(own.get(run_id)["events"]) + 1)], "none lost, none twice"


@pytest.mark.parametrize("part", ["dagre-*.js", "index-*.js"])
def test_a_graph_whose_library_did_not_come_is_drawn_later(own: Served, window: Visit, part: str) -> None:
    run_id = own.run("quick")
    missed: list[str] = []

    def miss(route: Route) -> None:
        missed.append(route.request.url)
        route.abort()

    window.page.route(f"**/{part}", miss, times=1)
    page = window.run(run_id)
    expect(page.locator(".sw-graph g.node")).not_to_have_count(0)
    assert missed
    expect(page.get_by_text("Syntax error")).to_have_count(0)


def test_a_run_that_is_deleted_while_it_is_looked_at_is_told(own: Served, window: Visit) -> None:
    run_id = own.run("quick")
    own.wait_for(run_id, "completed")
    page = window.run(run_id)
    expect(page.get_by_test_id("status")).to_contain_text("completed")
    subprocess.run([sys.executable, "-c", PRUNE, own.db], check=True)
    expect(page.locator(".sw-error")).to_contain_text("not there any more")
    assert own.client.get(f"/api/v1/workflows/{run_id}").status_code == 404
