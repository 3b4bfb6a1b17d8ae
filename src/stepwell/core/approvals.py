"""The words of an approval: what is asked, of whom, and what was answered. Pure records.

The rules (who may decide, quorum, expiry) are in `decide`; rows in the store are made from the run's state.
"""

from typing import Any, Literal

import msgspec

OnTimeout = Literal["fail", "reject", "approve", "escalate"]


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a program asks people to decide.

    `approvers` are principal ids or `role:<name>`; empty means the run's owner. `required` distinct approvers
    must approve; one rejection rejects. `timeout_s` counts from the request, also while the run is paused.
    On time-out `escalate` asks `escalate_to` once more, for `timeout_s` again, and then fails.
    """

    prompt: str = ""
    title: str = ""
    schema: Any = None
    context: Any = None
    approvers: tuple[str, ...] = ()
    required: int = 1
    timeout_s: float | None = None
    on_timeout: OnTimeout = "fail"
    escalate_to: tuple[str, ...] = ()
    allow_self_approval: bool = True


class ApprovalOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an approval ended. `expired` is true when nobody decided in time; `decision` is then `rejected`
    or, with `on_timeout: approve`, `approved`."""

    decision: Literal["approved", "rejected"]
    comment: str = ""
    data: Any = None
    actor: str = ""
    expired: bool = False
