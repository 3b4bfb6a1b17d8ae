"""Runs in lists, in numbers and one by one."""

from contextlib import suppress

from stepwell.core.errors import RunNotFoundError
from stepwell.core.history import RunCreated
from stepwell.core.status import Status
from stepwell.doors.kit import Answer, Call, Reply
from stepwell.doors.runs.api import RUNS, api
from stepwell.doors.runs.mapping import pagination, summary_of
from stepwell.doors.runs.reading import created_of, input_of, plan_by_digest, shown_run
from stepwell.doors.runs.statuses import WORDS, run_status, statuses_of
from stepwell.doors.runs.wire import Counts, Dashboard, ListQuery, RunAnswer, RunList, RunSummary
from stepwell.doors.runs.workflows import Workflows
from stepwell.programs.plan.model import Plan
from stepwell.store.model import CountQuery, RunQuery, RunRow


@api.get(
    RUNS,
    summary="List runs",
    answers={200: Answer(type=RunList, meaning="a page of runs, newest first")},
    fails={400: "a parameter is wrong"},
)
async def list_runs(call: Call, query: ListQuery) -> Reply:
    """The caller's runs through every API, whatever workflow they are of."""
    name = None
    if query.workflow_id is not None:
        name = await Workflows(call.engine, call.principal).engine_name(query.workflow_id.lower())
    statuses = statuses_of(query.status) if query.status is not None else ()
    total = await _total(call, name, statuses, query.search)
    rows: list[RunRow] = []
    if query.offset < total:
        rows = await call.engine.list_runs(
            RunQuery(
                owner=call.principal.sees,
                workflows=() if name is None else (name,),
                statuses=statuses,
                named=query.search,
                offset=query.offset,
                limit=query.limit,
            )
        )
    body = RunList(workflow_runs=await _summaries(call, rows), pagination=pagination(query.page, query.limit, total))
    return Reply(body=body)


async def _total(call: Call, name: str | None, statuses: tuple[Status, ...], search: str) -> int:
    counts = await call.engine.count_runs(CountQuery(owner=call.principal.sees, workflow=name, named=search))
    return sum(runs for (_, status), runs in counts.items() if not statuses or status in statuses)


async def _summaries(call: Call, rows: list[RunRow]) -> list[RunSummary]:
    """The rows with their inputs, which no row holds. A run that was pruned meanwhile is left out."""
    plans: dict[str, Plan | None] = {}
    found: list[RunSummary] = []
    ends = await call.engine.ends([row.run_id for row in rows]) if rows else {}
    for row in rows:
        if row.run_id not in ends:
            continue
        created, last = ends[row.run_id].first, ends[row.run_id].last
        assert isinstance(created, RunCreated)
        if created.definition not in plans:
            plans[created.definition] = await plan_by_digest(call.engine, created.definition)
        with suppress(RunNotFoundError):
            input = await input_of(call.engine, created, row.generation)
            updated_at = last.at if row.ended_at is None else row.ended_at
            found.append(summary_of(row, input, plans[created.definition], updated_at=updated_at))
    return found


@api.get(
    f"{RUNS}/dashboard/{{workflow_id}}",
    summary="Count the runs of a workflow by status",
    answers={200: Answer(type=Dashboard, meaning="all six statuses; together they are the total")},
    fails={404: "there is no such workflow"},
)
async def dashboard(call: Call) -> Reply:
    """The counts are kept with every change of a run, so this is quick however many runs there are."""
    id = call.id("workflow_id", "workflow")
    name = await Workflows(call.engine, call.principal).known(id)
    found = await call.engine.count_runs(CountQuery(owner=call.principal.sees, workflow=name))
    counts = dict.fromkeys(WORDS, 0)
    for (_, status), runs in found.items():
        counts[run_status(Status(status))] += runs
    return Reply(body=Dashboard(workflow_id=id, total=sum(counts.values()), counts=Counts(**counts)))


@api.get(
    f"{RUNS}/{{run_id}}",
    summary="Get a run with its activity runs",
    answers={200: Answer(type=RunAnswer, meaning="the run, with one activity run per attempt of every step")},
    fails={404: "there is no such run"},
)
async def get_run(call: Call) -> Reply:
    """A step that never began has no activity run."""
    created = await created_of(call, call.id("run_id", "workflow run"))
    return Reply(body=RunAnswer(workflow_run=await shown_run(call.engine, created.run_id)))
