"""Approvals: the inbox over all runs, and the decisions."""

from typing import Final

from stepwell.doors.agents import mapping, wire
from stepwell.doors.agents.api import api
from stepwell.doors.agents.reading import visible_approval
from stepwell.doors.agents.runs import ONE
from stepwell.doors.agents.starting import DOOR
from stepwell.doors.agents.template_wire import pagination
from stepwell.doors.kit import Answer, Call, Cursor, Found, MissingError, Reply
from stepwell.doors.kit.deciding import check_answer, deciders_of
from stepwell.security.refusals import AccessError, Reason
from stepwell.store.model import ApprovalQuery, ApprovalRow

INBOX: Final = "/api/v1/approvals"
_DECIDED: Final = "what stands: `details.decision`"
_FAILS: Final = {
    403: "the caller is not asked, or started the run and may not approve it",
    404: "there is no such approval, or it is somebody else's",
    409: f"it was decided before, or has expired; {_DECIDED}",
    422: "the data are not of the approval's schema",
}


@api.get(INBOX, summary="List approvals", answers={200: Answer(type=wire.ApprovalList)})
async def list_approvals(call: Call, query: wire.ApprovalsQuery) -> Reply:
    """Those of all runs that the caller may decide, newest first; an administrator sees all."""
    principal, start = call.principal, query.start
    wanted = ApprovalQuery(
        deciders=() if principal.sees is None else deciders_of(principal),
        status=None if query.status == "all" else query.status,
        before=start.before,
        offset=start.offset,
        limit=query.limit + 1,
    )
    rows = await call.engine.approvals(wanted)
    page = rows[: query.limit]
    next = Cursor(before=page[-1].approval_id) if len(rows) > len(page) else None
    total = await call.engine.store.count_approvals(wanted)
    found = Found(items=[mapping.listed_approval(row) for row in page], total=total, next=next)
    return Reply(body=wire.ApprovalList(data=found.items, meta=pagination(found)))


@api.get(
    f"{INBOX}/{{id}}",
    summary="Get an approval",
    answers={200: Answer(type=wire.Approval)},
    fails={404: "there is no such approval, or it is somebody else's"},
)
async def get_approval(call: Call) -> Reply:
    """For who may see its run, and for who is asked."""
    return Reply(body=mapping.listed_approval(await visible_approval(call, "id")))


@api.post(
    f"{ONE}/approvals/{{approval_id}}/approve",
    summary="Approve",
    answers={200: Answer(type=wire.DecidedOwnRun | wire.DecidedRun)},
    fails=_FAILS,
)
async def approve(call: Call, body: wire.Decide) -> Reply:
    """The run goes on once enough people have approved. The same decision of the same person changes nothing."""
    return await _decide(call, body, approved=True)


@api.post(
    f"{ONE}/approvals/{{approval_id}}/reject",
    summary="Reject",
    answers={200: Answer(type=wire.DecidedOwnRun | wire.DecidedRun)},
    fails=_FAILS,
)
async def reject(call: Call, body: wire.Decide) -> Reply:
    """The first rejection rejects: the step fails, and with it the run (`approval_rejected`), unless the template
    says otherwise.
    """
    return await _decide(call, body, approved=False)


async def _decide(call: Call, body: wire.Decide, *, approved: bool) -> Reply:
    row = await _of_run(call)
    if body.bypass and not call.principal.may("admin"):
        raise AccessError(Reason.INSUFFICIENT_SCOPE, "bypass: the credential lacks the scope admin")
    if approved:
        await check_answer(call, row, body.data)
    await call.engine.decide_approval(
        row.run_id,
        row.approval_id,
        approved=approved,
        comment=body.comment,
        data=body.data,
        via=DOOR,
        bypass=body.bypass,
        actor=call.actor,
    )
    view = await call.engine.view(row.run_id)
    found = next(one for one in view.approvals if one.id == row.approval_id)
    decided = mapping.approval(found, row.run_id)
    if not call.principal.may_see(row.owner):
        return Reply(body=wire.DecidedRun(id=row.run_id, status=mapping.run(view).status, approval=decided))
    return Reply(body=wire.DecidedOwnRun(**mapping.run_fields(view), approval=decided))


async def _of_run(call: Call) -> ApprovalRow:
    """The approval, which must be of the run in the path. Raises `MissingError`."""
    run_id = call.id("id", "run")
    row = await visible_approval(call, "approval_id")
    if row.run_id != run_id:
        raise MissingError("approval", row.approval_id)
    return row
