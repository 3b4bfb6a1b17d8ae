"""What the doors that decide approvals share: who is asked, and whether the data are of the schema asked for.

The decision itself is the engine's: the same rules for every door.
"""

from typing import Any

from stepwell.core.approvals import OWNER_ROLE, ROLE
from stepwell.core.errors import ProgramError
from stepwell.core.principal import Principal
from stepwell.doors.kit.calls import Call
from stepwell.doors.kit.faults import Fault, InvalidRequestError
from stepwell.engine import Engine
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.store.model import ApprovalQuery, ApprovalRow


def deciders_of(principal: Principal) -> tuple[str, ...]:
    """The names under which somebody may be asked to decide."""
    roles = (f"{ROLE}{role}" for role in principal.roles)
    return tuple(dict.fromkeys((principal.id, principal.owner, *(role for role in roles if role != OWNER_ROLE))))


def may_see_approval(principal: Principal, row: ApprovalRow) -> bool:
    """Whether an approval is there for somebody: its run is, or they are asked."""
    return principal.may_see(row.owner) or bool(set(row.deciders) & set(deciders_of(principal)))


async def approval_of(
    engine: Engine, principal: Principal, approval_id: str, *, status: str | None = None
) -> ApprovalRow | None:
    """The approval with this id (and status), for who may see its run and who is asked; None: there is none."""
    found = await engine.approvals(ApprovalQuery(approval_id=approval_id, status=status, limit=1))
    return found[0] if found and may_see_approval(principal, found[0]) else None


async def check_answer(call: Call, row: ApprovalRow, data: Any) -> None:
    """That the data of an approval are of its schema; none at all is fine. Raises `InvalidRequestError`."""
    await check_data(row, data, call.request.app.state.expressions)


async def check_data(row: ApprovalRow, data: Any, expressions: Any) -> None:
    """The same where there is no request of a door."""
    if row.schema is None or data is None:
        return
    try:
        await DataCheck(row.schema, "data", expressions).check(data, "")
    except ProgramError as error:
        errors = error.problem.data["errors"] if error.problem.data else []
        faults = [Fault.at(f"/data{one['pointer']}", one["message"]) for one in errors]
        raise InvalidRequestError(faults or [Fault(path=("data",), message=error.problem.detail)]) from None
