"""The page of all runs: filters that are its address, pages by the last run's id, commands to many at once."""

from typing import Any, Final
from urllib.parse import urlencode

from nicegui import ui
from starlette.requests import Request

from stepwell.console.frame import LivePage
from stepwell.console.part import Part
from stepwell.console.playground import EXAMPLES, FIRST, try_document
from stepwell.console.visitor import as_dict
from stepwell.core.errors import RefusedError, StepwellError
from stepwell.core.status import Status
from stepwell.store.port import CountQuery, RunQuery, RunRow

PAGE_SIZE: Final = 50
MAX_BULK: Final = 500
RANGES: Final = {"15m": 900.0, "1h": 3600.0, "24h": 86400.0, "7d": 7 * 86400.0, "30d": 30 * 86400.0}
"""Lengths of time that a view may go back from now."""
FILTERS: Final = ("status", "workflow", "door", "owner", "text", "since", "from", "to", "before")
"""What stands in the address of a view. `status` may be several, with commas."""

View = dict[str, str]


class RunsTable(Part, component="elements/runs.js"):
    """The filters, the table and its pages. Emits `view` (the filters), `act` (verb and run ids) and `example`."""

    def fill(self, **props: Any) -> None:
        """Of a table that is shown already only the rows are sent that have changed."""
        before = {row["id"]: row for row in self._props["rows"]}
        changed = [row for row in props["rows"] if before.get(row["id"]) != row]
        if not self._props["shown"] or self._props["view"] != props["view"] or 2 * len(changed) > len(props["rows"]):
            super().fill(**props)
            return
        order = [row["id"] for row in props["rows"]]
        rest = {name: value for name, value in props.items() if name != "rows" and self._props[name] != value}
        if not changed and not rest and order == list(before):
            return
        with self._props.suspend_updates():
            self._props.update(props)
        self.run_method("patch", order, changed, rest)


class RunsPage(LivePage):
    """All runs that the visitor may see, as far as the view goes."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, title="Runs", active="/console/")
        self._view = read_view(dict(request.query_params))

    def build(self) -> None:
        self._table = RunsTable(
            view=self._view,
            rows=[],
            more=False,
            counts={},
            workflows=[],
            shown=False,
            mayAct=self.visitor.principal.may("write"),
            allOwners=self.visitor.sees is None,
        )
        self.on(self._table, "view", self._change, acts=False)
        self.on(self._table, "act", self._act)
        self.on(self._table, "example", self._example)

    async def show(self) -> None:
        shared, sees = self.visitor.desk.pulse.shared, self.visitor.sees
        query = run_query(self._view, sees=sees, now=self.engine.clock.now())
        # Without its place in time the key would be another one for each page: they share what one beat found.
        key = ("runs", sees, tuple(sorted(self._view.items())))
        found = await shared(key, lambda: self.engine.list_runs(query))
        owner = self._view.get("owner") if sees is None else sees
        totals = await shared(("totals", owner), lambda: self.engine.count_runs(CountQuery(owner=owner or None)))
        self._table.fill(
            view=self._view,
            rows=[run_item(row) for row in found[:PAGE_SIZE]],
            more=len(found) > PAGE_SIZE,
            counts=counts_of(totals, self._view.get("workflow", "")),
            workflows=sorted({workflow for workflow, _ in totals}),
            shown=True,
        )

    async def _change(self, view: Any) -> None:
        self._view = read_view(as_dict(view))

    async def _example(self, _nothing: Any) -> None:
        run_id = await try_document(self.visitor, EXAMPLES[FIRST], {"name": "world"})
        ui.navigate.to(f"/runs/{run_id}")

    async def _act(self, what: Any) -> str | None:
        verb, ids = as_dict(what).get("verb"), as_dict(what).get("ids")
        if verb not in ("cancel", "retry") or not isinstance(ids, list):
            return None
        return await self._act_on(verb, [str(id) for id in ids[:MAX_BULK]])

    async def _act_on(self, verb: str, ids: list[str]) -> str:
        """Tell each run; those that refuse are counted, and why the first did."""
        done, refusal = 0, ""
        for id in ids:
            try:
                await self.visitor.created(id)
                if verb == "cancel":
                    done += await self.engine.cancel(id, reason="cancelled in the console", actor=self.visitor.actor)
                else:
                    done += await self.engine.retry(id, actor=self.visitor.actor)
            except RefusedError as refused:
                refusal = refusal or refused.message
        word = {"cancel": "cancelled", "retry": "retried"}[verb]
        said = f"{done} of {len(ids)} runs {word}." if len(ids) != 1 else f"{done} run {word}."
        if refusal and not done:
            raise StepwellError(f"{said} {refusal}")
        return f"{said} {refusal}".strip()


def read_view(sent: dict[str, Any]) -> View:
    """The filters of an address, or of what the page sent; what is none is left out."""
    view = {name: str(sent[name])[:200] for name in FILTERS if sent.get(name)}
    statuses = [status for status in view.pop("status", "").split(",") if status in tuple(Status)]
    if statuses:
        view["status"] = ",".join(statuses)
    if view.get("since") not in RANGES:
        view.pop("since", None)
    for name in ("from", "to"):
        if not is_number(view.get(name, "0")):
            view.pop(name)
    return view


def run_query(view: View, *, sees: str | None, now: float) -> RunQuery:
    """The query of a view, for somebody who sees these runs; one row more than a page tells whether there is another.

    `from` and `to` are seconds since the epoch.
    """
    since = RANGES.get(view.get("since", ""))
    return RunQuery(
        owner=sees if sees is not None else view.get("owner") or None,
        workflows=(view["workflow"],) if "workflow" in view else (),
        statuses=tuple(Status(status) for status in view.get("status", "").split(",") if status),
        door=view.get("door") or None,
        search=view.get("text", ""),
        created_from=now - since if since else float(view["from"]) if "from" in view else None,
        created_to=float(view["to"]) if "to" in view else None,
        before=view.get("before") or None,
        limit=PAGE_SIZE + 1,
    )


def is_number(text: str) -> bool:
    """Whether a text is an instant in seconds."""
    try:
        return abs(float(text)) < 1e11
    except ValueError:
        return False


def address_of(view: View) -> str:
    """Where a view is found again."""
    return "/console/" + (f"?{urlencode(view)}" if view else "")


def run_item(row: RunRow) -> dict[str, Any]:
    """A run as the table shows it."""
    return {
        "id": row.run_id,
        "workflow": row.workflow_name,
        "version": row.version,
        "status": str(row.status),
        "reason": row.reason or "",
        "step": row.step,
        "error": (row.error_text or "")[:300],
        "door": row.door,
        "owner": row.owner,
        "created": row.created_at,
        "started": row.started_at,
        "ended": row.ended_at,
        "generation": row.generation,
    }


def counts_of(totals: dict[tuple[str, str], int], workflow: str) -> dict[str, int]:
    """Status to number of runs, of one workflow where one is named."""
    counts: dict[str, int] = {}
    for (name, status), number in totals.items():
        if not workflow or name == workflow:
            counts[status] = counts.get(status, 0) + number
    return counts


@ui.page("/")
async def page(request: Request) -> None:
    """`/console/`"""
    await RunsPage(request).open()
