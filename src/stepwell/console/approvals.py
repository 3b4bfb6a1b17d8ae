"""The inbox: what waits for a decision of whoever looks, with what is needed to decide it."""

from typing import Any, Final

from nicegui import ui
from starlette.requests import Request

from stepwell.console.frame import RESPONSE_S, LivePage, inbox
from stepwell.console.part import Part
from stepwell.console.visitor import as_dict
from stepwell.core.errors import StepwellError
from stepwell.doors.kit.deciding import approval_of, check_data
from stepwell.store.model import ApprovalRow

VIA: Final = "console"
PAGE_SIZE: Final = 50


class Inbox(Part, component="elements/approvals.js"):
    """Cards. Emits `decide` (an approval, the decision, a comment, data) and `show` (which ones)."""


class ApprovalsPage(LivePage):
    """The approvals that the visitor may decide, newest first; those of one run with `?run=ID`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, title="Approvals", active="/console/approvals")
        self._status = "all" if request.query_params.get("status") == "all" else "pending"
        self._run_id = request.query_params.get("run", "")

    def build(self) -> None:
        may_act = self.visitor.principal.may("write")
        self._inbox = Inbox(cards=[], shown=False, mayAct=may_act, status=self._status, run=self._run_id)
        self.on(self._inbox, "decide", self._decide)
        self.on(self._inbox, "show", self._change, acts=False)

    async def show(self) -> None:
        status = None if self._status == "all" else "pending"
        wanted = inbox(self.visitor.principal, status=status, limit=PAGE_SIZE, run_id=self._run_id)
        rows = await self.visitor.desk.pulse.shared(("approvals", wanted), lambda: self.engine.approvals(wanted))
        self._inbox.fill(cards=[card_of(row) for row in rows], status=self._status, shown=True)

    async def _change(self, status: Any) -> None:
        self._status = "all" if status == "all" else "pending"

    async def _decide(self, what: Any) -> str:
        order = as_dict(what)
        row = await self._visible(str(order.get("id")))
        approved, data = order.get("approved") is True, order.get("data")
        if approved:
            await check_data(row, data, self.visitor.desk.expressions)
        await self.engine.decide_approval(
            row.run_id,
            row.approval_id,
            approved=approved,
            comment=str(order.get("comment") or ""),
            data=data,
            via=VIA,
            actor=self.visitor.actor,
        )
        return "Approved." if approved else "Rejected."

    async def _visible(self, id: str) -> ApprovalRow:
        """The approval, for who may see its run and who is asked. Raises `StepwellError`."""
        found = await approval_of(self.engine, self.visitor.principal, id)
        if found is None:
            raise StepwellError("there is no such approval")
        return found


def card_of(row: ApprovalRow) -> dict[str, Any]:
    """An approval as its card shows it."""
    return {
        "id": row.approval_id,
        "run": row.run_id,
        "status": row.status,
        "workflow": row.workflow,
        "step": row.name or row.key,
        "owner": row.owner,
        "title": row.title,
        "prompt": row.prompt,
        "context": row.context,
        "schema": row.schema,
        "asked": list(row.deciders),
        "required": row.required,
        "votes": row.votes,
        "requested": row.requested_at,
        "due": row.due_at,
        "decided": row.decided_at,
        "by": row.decided_by,
        "comment": row.comment,
        "said": [{"who": vote.actor, "approved": vote.approved, "comment": vote.comment} for vote in row.decisions],
    }


@ui.page("/approvals", response_timeout=RESPONSE_S)
async def page(request: Request) -> None:
    """`/console/approvals`"""
    await ApprovalsPage(request).open()
