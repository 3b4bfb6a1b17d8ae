"""Approvals: those that wait, and what is decided."""

from typing import Any, Final

from stepwell.doors.kit import Answer, Call, MissingError, Reply
from stepwell.doors.kit.deciding import approval_of, check_answer, deciders_of, may_see_approval
from stepwell.doors.remote import wire
from stepwell.doors.remote.api import PATH, api
from stepwell.store.model import ApprovalQuery

INBOX: Final = f"{PATH}/approvals"


@api.get(INBOX, summary="List pending approvals", answers={200: Answer(type=list[dict[str, Any]])})
async def list_pending_approvals(call: Call, query: wire.ApprovalsQuery) -> Reply:
    """Those that the caller may decide, newest first; of one run also those that the caller may only see."""
    principal = call.principal
    asked = () if query.run_id is not None or principal.sees is None else deciders_of(principal)
    rows = await call.engine.approvals(ApprovalQuery(run_id=query.run_id, deciders=asked, limit=query.limit))
    return Reply(body=[row for row in rows if may_see_approval(principal, row)])


@api.post(
    f"{INBOX}/{{id}}/decision",
    summary="Decide an approval",
    answers={200: Answer(type=wire.Decided)},
    fails={
        400: "the data are not of the approval's schema",
        404: "there is no such approval, or it is somebody else's",
        409: "it was decided before, has expired, or the caller may not decide it",
    },
)
async def decide_pending_approval(call: Call, body: wire.Decide) -> Reply:
    """The same decision of the same person changes nothing."""
    id = call.id("id", "approval")
    found = await approval_of(call.engine, call.principal, id)
    if found is None:
        raise MissingError("approval", id)
    if body.approved:
        await check_answer(call, found, body.data)
    changed = await call.engine.decide_approval(
        found.run_id,
        id,
        approved=body.approved,
        comment=body.comment,
        data=body.data,
        via=api.name,
        actor=call.actor,
    )
    return Reply(body=wire.Decided(changed=changed))
