"""The console: how long pages take on a large database, what open pages cost. `python -m bench.console [--quick]`.

The server is a process of its own, on a database written in bulk. Pages are asked for over HTTP (what the browser
then draws is not in it); open pages are live connections of this process, told of every change while runs go on. The
first view of a run is Chromium's, each with nothing in its cache, where Playwright and Chromium are there.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import socketio

from bench import bulk
from bench.gauge import machine, median, percentile
from stepwell.core.status import Status
from stepwell.engine.ids import workflow_uuid
from stepwell.store.model import CountQuery, Definition, RunQuery, RunRow
from stepwell.store.sqlite import SqliteStore

DAY_S: Final = 86_400.0
VIEWS: Final = {
    "all": "",
    "failed": "?status=failed",
    "workflow": "?workflow={workflow}&since=7d",
    "search": "?text=zebra",
    "older": "?before={oldest}",
}
SHARES: Final = {Status.COMPLETED: 0.91, Status.FAILED: 0.05, Status.CANCELLED: 0.02, Status.WAITING: 0.02}
"""None that the server would begin to drive."""
RUNS_PER_S: Final = 20
TICKS: Final = os.sysconf("SC_CLK_TCK")


async def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the console on this machine.")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works")
    parser.add_argument("--pages", type=int, default=50, help="pages that are open")
    parser.add_argument(
        "--folder", type=Path, help="where the database is written, or was by a run before; it is kept"
    )
    options = parser.parse_args()
    runs, seconds, times = (2_000, 3.0, 3) if options.quick else (1_000_000, 30.0, 30)
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "runs.db").exists():
            await fill(folder / "runs.db", runs)
        oldest, kept = await looked_into(folder / "runs.db")
        async with serving(folder) as (url, process):
            figures = {"runs": kept, **await page_times(url, process, oldest, times)}
            figures |= await first_views(url, 5)
            figures |= await open_pages(url, process, options.pages, seconds)
    print(
        json.dumps(
            {**figures, "command": " ".join(["python -m bench.console", *sys.argv[1:]]), **machine()}, indent=2
        )
    )


async def fill(database: Path, runs: int) -> None:
    """Runs of the last thirty days, in all statuses."""
    now = time.time()
    text = "document: {dsl: '1.0.3', namespace: bench, name: one, version: '1.0.0'}\ndo:\n- work: {call: nothing}\n"
    definition = Definition(digest=f"{1:032x}", kind="flow", name="one", version="1.0.0", text=text)
    plan = bulk.Plan(
        runs=runs, first_at=now - 30 * DAY_S, last_at=now, workflows=[definition], shares=SHARES, labelled=True
    )
    store = SqliteStore(str(database))
    await store.open()
    await bulk.write(store, plan)
    await store.close()


async def looked_into(database: Path) -> tuple[RunRow, int]:
    """One of the oldest runs, and how many there are."""
    store = SqliteStore(str(database))
    await store.open()
    [row] = await store.list_runs(RunQuery(created_to=time.time() - 29 * DAY_S, limit=1))
    counts = await store.count_runs(CountQuery())
    await store.close()
    return row, sum(counts.values())


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """URL and process id of a server whose first page has been opened."""
    command = [sys.executable, "-m", "stepwell", "serve", "--port", "0", "--db", f"sqlite:///{folder}/runs.db"]
    command += ["--flows", str(flow_folder(folder))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220  nothing else goes on yet
    try:
        assert server.stdout is not None
        url = (await asyncio.to_thread(server.stdout.readline)).split()[-1]
        async with httpx.AsyncClient(timeout=60) as client:
            (await client.get(f"{url}/console/")).raise_for_status()
        yield url, server.pid
    finally:
        server.terminate()
        server.wait(timeout=60)


def flow_folder(folder: Path) -> Path:
    """A flow that needs nothing but the server."""
    flows = folder / "flows"
    flows.mkdir(exist_ok=True)
    task = "do:\n- rest:\n    wait: {milliseconds: 5}\n"
    document = "document: {dsl: '1.0.3', namespace: bench, name: rest, version: '1.0.0'}\n"
    (flows / "rest.yaml").write_text(document + task)
    return flows


async def page_times(url: str, process: int, oldest: RunRow, times: int) -> dict[str, float]:
    """Milliseconds until a page has been answered: median, 95th percentile, and what of it the server computes."""
    figures: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        place = {"oldest": oldest.run_id, "workflow": oldest.workflow_name}
        paths = {f"runs_{name}": f"/console/{query.format(**place)}" for name, query in VIEWS.items()}
        paths |= {"run": f"/console/runs/{oldest.run_id}"}
        paths |= {name: f"/console/{name}" for name in ("approvals", "workflows", "playground", "overview")}
        for name, path in paths.items():
            took, cpu = [], cpu_seconds(process)
            for _ in range(times):
                began = time.perf_counter()
                (await client.get(path)).raise_for_status()
                took.append((time.perf_counter() - began) * 1000)
            figures |= {f"{name}_ms": round(median(took), 1), f"{name}_p95_ms": round(percentile(took, 95), 1)}
            figures |= {f"{name}_cpu_ms": round((cpu_seconds(process) - cpu) * 1000 / times, 1)}
    return figures


async def first_views(url: str, times: int) -> dict[str, float]:
    """Milliseconds until Chromium shows the page of a run: its status, and its graph."""
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        return {}
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    async with httpx.AsyncClient(base_url=url, timeout=60) as client, async_playwright() as browsers:
        answer = await client.post("/api/v1/workflows", json={"template_id": workflow_uuid("rest"), "input": {}})
        run_id = answer.json()["id"]
        browser = await browsers.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        head, graph = [], []
        for _ in range(times):
            page = await browser.new_page()
            began = time.perf_counter()
            await page.goto(f"{url}/console/runs/{run_id}", wait_until="commit")
            await page.get_by_test_id("status").wait_for()
            head.append((time.perf_counter() - began) * 1000)
            await page.locator(".sw-graph g.node").first.wait_for()
            graph.append((time.perf_counter() - began) * 1000)
            await page.close()
        await browser.close()
    return {
        "first_view_ms": round(median(head)),
        "first_view_max_ms": round(max(head)),
        "first_view_graph_ms": round(median(graph)),
        "first_view_graph_max_ms": round(max(graph)),
    }


async def open_pages(url: str, process: int, pages: int, seconds: float) -> dict[str, float]:
    """CPU seconds per second of the server while runs go on: with no page open, and with so many."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        without = await loaded(client, process, seconds)
        told: list[str] = []
        async with AsyncExitStack() as opened:
            for _ in range(pages):
                await opened.enter_async_context(live_page(client, url, told))
            told.clear()
            with_pages = await loaded(client, process, seconds)
    return {
        "pages": pages,
        "cores_without_pages": round(without, 4),
        "cores_with_pages": round(with_pages, 4),
        "cores_for_pages": round(with_pages - without, 4),
        "updates_per_s_and_page": round(len(told) / seconds / pages, 2),
    }


async def loaded(client: httpx.AsyncClient, process: int, seconds: float) -> float:
    """The share of a core that the server takes while runs are started at a steady rate."""
    body = {"template_id": workflow_uuid("rest"), "input": {}}
    began, cpu = time.monotonic(), cpu_seconds(process)
    number = 0
    while (now := time.monotonic()) < began + seconds:
        (await client.post("/api/v1/workflows", json=body)).raise_for_status()
        number += 1
        await asyncio.sleep(max(0.0, began + number / RUNS_PER_S - now))
    return (cpu_seconds(process) - cpu) / (time.monotonic() - began)


def cpu_seconds(process: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@asynccontextmanager
async def live_page(client: httpx.AsyncClient, url: str, told: list[str]) -> AsyncIterator[None]:
    """The page of all runs, open and told of changes, as NiceGUI's script does it; what it was told is noted."""
    html = (await client.get("/console/")).text
    query = json.loads(_object(html).replace("'", '"').replace("True", "true").replace("False", "false"))
    names: dict[str, Any] = {**query, "tab_id": str(uuid.uuid4()), "document_id": str(uuid.uuid4())}
    socket = socketio.AsyncClient()
    socket.on("*", lambda event, *_data: told.append(event))
    text = "&".join(
        f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in names.items()
    )
    await socket.connect(f"{url}?{text}", transports=["websocket"], socketio_path="/console/_nicegui_ws/socket.io")
    try:
        yield
    finally:
        await socket.disconnect()


def _object(html: str) -> str:
    found = re.search(r"query: (\{.*?\}),", html)
    assert found is not None, "the page names what its connection begins with"
    return found[1]


if __name__ == "__main__":
    asyncio.run(main())
