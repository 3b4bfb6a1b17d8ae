"""Runs that wait for a person: the inbox over them, the memory that they cost a server, and how long it takes from an
approval to the step behind it.

The runs are started from a template, and wait in the inbox of one owner. A server in a process of its own is asked
over HTTP, with that owner's key. Approvals keep their pace whatever the answers take: lateness counts as latency.
Memory is what a server over all the runs holds more than one over few, after the same requests.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from bench.gauge import percentile, rss_bytes
from bench.house import none_live
from bench.marking import app
from bench.size import Size
from stepwell.security.keys import ApiKeys, new_key
from stepwell.settings import Settings
from stepwell.store.model import Record

OWNER: Final = "ann"
TEMPLATE: Final = {
    "name": "Review",
    "steps": [
        {"key": "review", "type": "approval", "config": {"prompt": "Go on?"}},
        {"key": "mark", "type": "task", "config": {"action": "function", "function": "mark"}},
    ],
}
AT_ONCE: Final = 500
PAGES: Final = 200
PER_SECOND: Final = 50
INBOX: Final = "/api/v1/approvals"
RUNS: Final = "/api/v1/workflows"


async def measure(folder: Path, size: Size) -> dict[str, float]:
    few, all_of_them = folder / "few.db", folder / "all.db"
    keys = {few: await _fill(few, 2 * size.approved), all_of_them: await _fill(all_of_them, size.asking)}
    found = {}
    for database, key in keys.items():
        async with _served(database) as (url, process_id):
            async with httpx.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=60) as client:
                figures = await _ask(client, size)
            found[database] = {**figures, "rss": float(rss_bytes(process_id))}
    grown = found[all_of_them].pop("rss") - found[few]["rss"]
    return {"asking_runs": size.asking, **found[all_of_them], "asking_runs_rss_growth_mb": grown / 1e6}


async def _fill(database: Path, runs: int) -> str:
    """Runs that wait; the key of who is asked."""
    app.configure(Settings(db=f"sqlite:///{database}", idle_s=0.02))
    async with app:
        key, text = new_key(OWNER, now=time.time())
        await ApiKeys(app.engine.store, row=Record).create(key)
        template = msgspec.json.encode(TEMPLATE).decode()
        await app.engine.save(kind="template", name="review", version="1", text=template)
        for first in range(0, runs, AT_ONCE):
            number = min(AT_ONCE, runs - first)
            await asyncio.gather(*(app.engine.start("review", {}, owner=OWNER) for _ in range(number)))
            await none_live(app.engine)
    return text


@asynccontextmanager
async def _served(database: Path) -> AsyncIterator[tuple[str, int]]:
    """The URL of a server, and the id of its process."""
    options = ["--port", "0", "--app", "bench.marking:app", "--db", f"sqlite:///{database}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stepwell", "serve", *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().split()[-1], process.pid
    finally:
        process.terminate()
        await process.wait()


async def _ask(client: httpx.AsyncClient, size: Size) -> dict[str, float]:
    first_ms = [(await _page(client, ""))[0] for _ in range(PAGES)]
    walked_ms, asked = await _walk(client, size.approved)
    decided_ms, next_ms = await _approve(client, asked[: size.approved])
    return {
        "inbox_first_page_p50_ms": percentile(first_ms, 50),
        "inbox_first_page_p99_ms": percentile(first_ms, 99),
        "inbox_page_p99_ms": percentile(walked_ms, 99),
        "approvals_per_s": PER_SECOND,
        "approve_p99_ms": percentile(decided_ms, 99),
        "approve_to_next_step_p50_ms": percentile(next_ms, 50),
        "approve_to_next_step_p99_ms": percentile(next_ms, 99),
    }


async def _page(client: httpx.AsyncClient, cursor: str) -> tuple[float, Any]:
    """How long a page of the inbox took, and the page."""
    began = time.perf_counter()
    answer = await client.get(INBOX, params={"cursor": cursor} if cursor else {})
    took_ms = (time.perf_counter() - began) * 1e3
    return took_ms, answer.raise_for_status().json()


async def _walk(client: httpx.AsyncClient, approvals: int) -> tuple[list[float], list[Any]]:
    """Page after page of the inbox, until there are that many approvals; and some pages more."""
    took: list[float] = []
    asked: list[Any] = []
    cursor = ""
    while len(asked) < approvals or len(took) < PAGES:
        took_ms, page = await _page(client, cursor)
        took.append(took_ms)
        asked += page["data"]
        cursor = page["meta"]["pagination"]["cursor"]
        if cursor is None:
            break
    return took, asked


async def _approve(client: httpx.AsyncClient, asked: list[Any]) -> tuple[list[float], list[float]]:
    """From when each approval was due: until it was answered, and until the next step was called."""
    began = time.monotonic() + 0.1

    async def one(number: int, approval: Any) -> tuple[float, float]:
        due = began + number / PER_SECOND
        await asyncio.sleep(due - time.monotonic())
        path = f"{RUNS}/{approval['run_id']}/approvals/{approval['id']}/approve"
        (await client.post(path)).raise_for_status()
        return due, (time.monotonic() - due) * 1e3

    decided = await asyncio.gather(*(one(number, approval) for number, approval in enumerate(asked)))
    called = [await _called(client, approval["run_id"]) for approval in asked]
    return [took_ms for _, took_ms in decided], [
        (at - due) * 1e3 for at, (due, _) in zip(called, decided, strict=True)
    ]


async def _called(client: httpx.AsyncClient, run_id: str) -> float:
    """When the step behind the approval was called."""
    while True:
        run = (await client.get(f"{RUNS}/{run_id}")).raise_for_status().json()
        if "mark" in run["context"]:
            return float(run["context"]["mark"])
        await asyncio.sleep(0.05)
