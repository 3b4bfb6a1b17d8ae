"""The page of all runs: filters that are its address, pages by the last run's id, commands to many at once."""

from typing import Any, Final
from urllib.parse import urlencode

from nicegui import ui
from starlette.requests import Request

from stepwell.console.frame import RESPONSE_S, LivePage
from stepwell.console.part import Part
from stepwell.console.playground import EXAMPLES, FIRST, try_document
from stepwell.console.sights import Sight
from stepwell.console.visitor import as_dict
from stepwell.core.errors import RefusedError, StepwellError
from stepwell.core.status import Status
from stepwell.engine.view_steps import place_of
from stepwell.store.model import CountQuery, RunQuery, RunRow

PAGE_SIZE: Final = 50
MAX_BULK: Final = 500
RANGES: Final = {"15m": 900.0, "1h": 3600.0, "24h": 86400.0, "7d": 7 * 86400.0, "30d": 30 * 86400.0}
"""Lengths of time that a view may go back from now."""
FILTERS: Final = ("status", "workflow", "door", "owner", "text", "since", "from", "to", "before")
"""What stands in the address of a view. `status` may be several, with commas."""

View = dict[str, str]


class RunsTable(Part, component="elements/runs.js"):
    """The filters, the table and its pages. Emits `view` (the filters), `act` (verb and run ids) and `example`."""

    _sight: Sight | None = None

    def see(self, sight: Sight, view: View) -> None:
        """Show this; a table that shows the same view already is told only what has changed."""
        before, self._sight = self._sight, sight
        if before is sight and self._props["view"] == view:
            return
        change = sight.since(before) if before is not None and self._props["view"] == view else None
        if change is None:
            self.fill(given=sight.whole, view=view)
        else:
            self.call("patch", change)


class RunsPage(LivePage):
    """All runs that the visitor may see, as far as the view goes."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, title="Runs", active="/console/")
        self._view = read_view(dict(request.query_params))

    def build(self) -> None:
        may_act, all_owners = self.visitor.principal.may("write"), self.visitor.sees is None
        self._table = RunsTable(view=self._view, given="", mayAct=may_act, allOwners=all_owners)
        self.on(self._table, "view", self._change, acts=False)
        self.on(self._table, "act", self._act)
        self.on(self._table, "example", self._example)

    async def show(self) -> None:
        view, sees = self._view, self.visitor.sees
        # Without the time: pages that are open on the same view share what one beat found.
        sight = await self.visitor.desk.sights.of((sees, tuple(sorted(view.items()))), lambda: self._look(view, sees))
        self._table.see(sight, view)

    async def _look(self, view: View, sees: str | None) -> Sight:
        owner = view.get("owner") if sees is None else sees
        found = await self.engine.list_runs(run_query(view, sees=sees, now=self.engine.clock.now()))
        totals = await self.visitor.desk.pulse.shared(
            ("totals", owner), lambda: self.engine.count_runs(CountQuery(owner=owner or None))
        )
        around = {
            "more": len(found) > PAGE_SIZE,
            "counts": counts_of(totals, view.get("workflow", "")),
            "workflows": sorted({workflow for workflow, _ in totals}),
        }
        return Sight([run_item(row) for row in found[:PAGE_SIZE]], around)

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
        "step": place_of(row.step),
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


@ui.page("/", response_timeout=RESPONSE_S)
async def page(request: Request) -> None:
    """`/console/`"""
    await RunsPage(request).open()
