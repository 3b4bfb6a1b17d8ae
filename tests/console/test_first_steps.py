"""From an empty folder to a watched run, as `docs/console.md` tells it: one command, one click."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from .serving import WAIT_S, Visit, button

pytestmark = pytest.mark.slow


def test_from_an_empty_folder_to_a_watched_run(tmp_path: Path, browser: Browser) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}
    command = [sys.executable, "-m", "stepwell", "serve", "--port", "0"]
    server = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().split()[-1]
    context = browser.new_context()
    try:
        page = Visit(context, url).open("/")
        button(page, "Run an example").click()
        expect(page.get_by_test_id("status")).to_have_text("waiting: approval")
        run_id = page.url.rpartition("/")[2]
        page.get_by_role("link", name="Decide").click()
        button(page, "Approve").click()
        expect(page.get_by_text("Nothing waits for you")).to_be_visible()
        page.goto(f"{url}/console/runs/{run_id}")
        expect(page.get_by_test_id("status")).to_have_text("completed")
        found = httpx.get(f"{url}/api/v1/workflows/{run_id}", timeout=WAIT_S).json()
        assert found.get("data", found)["status"] == "completed"
        assert {path.name for path in tmp_path.iterdir()} <= {
            *("stepwell.db", "stepwell.db-wal", "stepwell.db-shm", "stepwell.db.lock", "stepwell.db.files")
        }
    finally:
        context.close()
        server.terminate()
        server.wait(timeout=WAIT_S)
