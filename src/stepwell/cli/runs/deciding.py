"""`stepwell runs approve` and `reject`: decides the approval that a run waits for."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from stepwell.cli.actor import local_actor
from stepwell.cli.client import Client
from stepwell.cli.opening import open_client
from stepwell.cli.options import THERE, Json, JsonText, RunId, Target, read_json
from stepwell.cli.output import say, write_json
from stepwell.core.errors import InvalidInputError, RefusedError
from stepwell.core.history import Actor
from stepwell.store.model import ApprovalQuery, ApprovalRow

StepKey = Annotated[str | None, Parameter(name="--step", help="Key or name of the step, when several wait.")]
Comment = Annotated[str, Parameter(help="Why; it is kept in the history.")]
Data = Annotated[JsonText, Parameter(help="Data of the decision: JSON, @file, or - for stdin.")]
As = Annotated[str | None, Parameter(name="--as", help="Decide under this name, in place of the system user's.")]
Roles = Annotated[tuple[str, ...], Parameter(name="--role", help="A role to decide in.", consume_multiple=False)]


def approve(
    run_id: RunId,
    /,
    *,
    step: StepKey = None,
    comment: Comment = "",
    data: Data = None,
    as_: As = None,
    roles: Roles = (),
    json: Json = False,
    where: Target = THERE,
) -> None:
    """Approve what a run waits for."""
    _check_name(where, as_, roles)
    decision = Decision(approved=True, comment=comment, data=data, actor=local_actor(as_, roles))
    decision.carry_out(run_id, step, where, json=json)


def reject(
    run_id: RunId,
    /,
    *,
    step: StepKey = None,
    comment: Comment = "",
    data: Data = None,
    as_: As = None,
    roles: Roles = (),
    json: Json = False,
    where: Target = THERE,
) -> None:
    """Reject what a run waits for."""
    _check_name(where, as_, roles)
    decision = Decision(approved=False, comment=comment, data=data, actor=local_actor(as_, roles))
    decision.carry_out(run_id, step, where, json=json)


def _check_name(where: Target, as_: str | None, roles: tuple[str, ...]) -> None:
    if where.server is not None and (as_ is not None or roles):
        raise InvalidInputError("--as and --role are for a database: a server knows by the key who decides")


class Decision:
    """What somebody decided, and how it gets into the run."""

    def __init__(self, *, approved: bool, comment: str, data: str | None, actor: Actor) -> None:
        self._approved = approved
        self._comment = comment
        self._data = read_json(data, option="--data")
        self._actor = actor

    def carry_out(self, run_id: str, step: str | None, where: Target, *, json: bool) -> None:
        row = asyncio.run(self._decide(run_id, step, where))
        decision = "approved" if self._approved else "rejected"
        if json:
            write_json({"id": run_id, "approval_id": row.approval_id, "step": row.key, "decision": decision})
        else:
            by = f" by {self._actor.id}" if where.server is None else ""
            say(f"run {run_id}: {row.title or row.prompt or row.key}: {decision}{by}")

    async def _decide(self, run_id: str, step: str | None, where: Target) -> ApprovalRow:
        async with open_client(where) as client:
            row = await find_approval(client, run_id, step)
            await client.decide_approval(
                run_id,
                row.approval_id,
                approved=self._approved,
                comment=self._comment,
                data=self._data,
                actor=self._actor,
            )
            return row


async def find_approval(client: Client, run_id: str, step: str | None) -> ApprovalRow:
    """The one pending approval of a run, or of its step. Raises `RunNotFoundError`, `RefusedError`."""
    rows = await client.approvals(ApprovalQuery(run_id=run_id))
    if step is not None:
        rows = [row for row in rows if step in (row.key, row.name, row.approval_id)]
    if len(rows) == 1:
        return rows[0]
    if not rows:
        where = f" at step {step}" if step else ""
        status = await client.status(run_id)
        raise RefusedError("not_found", f"run {run_id} is {status} and waits for no approval{where}")
    keys = ", ".join(row.key for row in rows)
    raise RefusedError("ambiguous", f"run {run_id} waits for several approvals: name one with --step: {keys}")
