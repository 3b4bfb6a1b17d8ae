"""Dashboard and list of the runs API over HTTP, with a million runs of 200 workflows and one owner stored:
`python -m bench.listing [--data FILE] [--quick]`.

One client asks again and again, with other values each time: pages 1 to 100, with and without filters and search.
It begins when the server has settled. Every answer has its total. The goal is p99 under 50 ms. The database is that
of `bench.queries`.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from bench import queries, report
from bench.gauge import machine, percentile
from bench.serving import Served, serving, stepwell_on
from stepwell.doors.runs.statuses import WORDS
from stepwell.engine.ids import workflow_uuid
from stepwell.store.sqlite import SqliteStore

RUNS: Final = "/api/v1/workflow-runs"
ASKED: Final = 200
LIMIT_S: Final = 8.0
Values = Callable[[], dict[str, Any]]


class Case(msgspec.Struct, frozen=True):
    """`target` makes the path and query of one request."""

    name: str
    target: Callable[[], str]


class Cases:
    """What a page of runs, and the counts above it, ask for."""

    def __init__(self, workflows: list[str]) -> None:
        self._workflows = workflows
        self._chance = random.Random(7)

    def all(self) -> Iterator[Case]:
        yield Case("dashboard", lambda: f"{RUNS}/dashboard/{workflow_uuid(self._workflow())}")
        for search, text in self._searches().items():
            for filters, values in self._filters().items():
                for limit in (10, 100):
                    name = ", ".join(part for part in (f"pages of {limit}", search, filters) if part)
                    yield Case(name, partial(self._page, text, values, limit))

    def _searches(self) -> dict[str, Callable[[], str]]:
        return {
            "": lambda: "",
            "a name": self._workflow,
            "ten names": lambda: f"LOW-{self._chance.randrange(20):02d}",
            "every name": lambda: "Workflow",
            "no run's name": lambda: "xylophone",
        }

    def _filters(self) -> dict[str, Values]:
        return {
            "": dict,
            "status": lambda: {"status": self._chance.choice(WORDS)},
            "workflow": lambda: {"workflowId": workflow_uuid(self._workflow())},
            "workflow and status": lambda: {
                "workflowId": workflow_uuid(self._workflow()),
                "status": self._chance.choice(WORDS),
            },
        }

    def _page(self, search: Callable[[], str], filters: Values, limit: int) -> str:
        query = {"page": 1 + self._chance.randrange(100), "limit": limit, "search": search(), **filters()}
        return f"{RUNS}?{urlencode(query)}"

    def _workflow(self) -> str:
        return self._chance.choice(self._workflows)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How long answers took; `cpu_ms` is the server's time for one on the average."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float


def ask(case: Case, client: httpx.Client, server: Served) -> Answered:
    """A case that is far from the goal is not asked for long."""
    took_ms: list[float] = []
    cpu_s, deadline = server.cpu_s, time.perf_counter() + LIMIT_S
    while len(took_ms) < ASKED and (len(took_ms) < 3 or time.perf_counter() < deadline):
        target = case.target()
        began = time.perf_counter()
        answer = client.get(target).raise_for_status()
        took_ms.append((time.perf_counter() - began) * 1e3)
        assert answer.json()["success"]
    cpu_ms = (server.cpu_s - cpu_s) / len(took_ms) * 1e3
    return Answered(p50_ms=percentile(took_ms, 50), p99_ms=percentile(took_ms, 99), cpu_ms=cpu_ms)


def measure(database: Path, key: str) -> dict[str, Answered]:
    """What each case took."""
    workflows = [definition.name for definition in queries.the_plan(0, 0).workflows]
    figures = {}
    with serving(*stepwell_on(database)) as server:
        server.settle()
        headers = {"X-API-Key": key}
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers, timeout=60) as client:
            for number, case in enumerate(Cases(workflows).all()):
                if number % 10 == 0:
                    queries.warm(database)
                figures[case.name] = ask(case, client, server)
    return figures


def key_of_the_owner(database: Path) -> str:
    """A new API key of the owner of all runs: without one, the local principal is asked for, who sees everybody's."""
    options = ("--owner", queries.OWNER, "--db", f"sqlite:///{database}", "--json")
    command = [sys.executable, "-m", "stepwell", "keys", "create", "bench", *options]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return str(msgspec.json.decode(made.stdout)["key"])


def show(figures: dict[str, Answered]) -> None:
    table = Table("request", "p50 ms", "p99 ms", "CPU ms", "", title="List and dashboard over HTTP")
    for name, took in figures.items():
        missed = "misses the goal" if took.p99_ms >= queries.GOAL_MS else ""
        table.add_row(name, f"{took.p50_ms:.2f}", f"{took.p99_ms:.2f}", f"{took.cpu_ms:.2f}", missed)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure dashboard and list over HTTP.")
    parser.add_argument("--data", type=Path, help="keep the database here, and use it if it is there")
    parser.add_argument("--quick", action="store_true", help="20,000 runs, to see that it works")
    options = parser.parse_args()
    runs = 20_000 if options.quick else 1_000_000
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as scratch:
        database = options.data or Path(scratch) / "queries.db"
        asyncio.run(queries.fill(SqliteStore(str(database)), queries.the_plan(runs, time.time())))
        figures = measure(database, key_of_the_owner(database))
    show(figures)
    worst = max(took.p99_ms for took in figures.values())
    print(f"slowest p99: {worst:.1f} ms; goal: {queries.GOAL_MS:.0f} ms")
    command = " ".join(["python -m bench.listing", *sys.argv[1:]])
    result = {"runs": runs, "slowest_p99_ms": worst, "command": command, **machine(), "requests": figures}
    print(report.save(queries.RESULTS, result, kind="listing-partial" if options.quick else "listing"))


if __name__ == "__main__":
    main()
