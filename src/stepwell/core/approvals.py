"""The words of an approval: what is asked, of whom, and what was answered. Pure records.

The rules (who may decide, quorum, expiry) are in `decide`; rows in the store are made from the run's state.
"""

from typing import Any, Final, Literal

import msgspec

OnTimeout = Literal["fail", "reject", "approve", "escalate", "goto"]
MAX_TIMEOUT_S: Final = 100 * 365 * 86_400
ROLE: Final = "role:"
OWNER_ROLE: Final = "role:owner"
"""Stands for the run's owner."""


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a program asks people to decide.

    `approvers` are principal ids or `role:<name>`; empty means the run's owner. `required` distinct approvers
    must approve; one rejection rejects. `timeout_s` counts from the request, also while the run is paused.
    On time-out `escalate` asks `escalate_to` once more, for `timeout_s` again, and then fails; with `goto` the
    program goes on at its step `goto`.
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
    goto: str = ""
    allow_self_approval: bool = True


class StandingDecision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an approval was decided: what a decision that comes too late is told. `decision` is approved, rejected,
    expired or cancelled; `actor` is empty where nobody decided; `at` in seconds since the epoch, UTC.
    """

    decision: Literal["approved", "rejected", "expired", "cancelled"]
    at: float
    actor: str = ""
    comment: str = ""

    def __str__(self) -> str:
        return f"{self.decision} by {self.actor}" if self.actor else self.decision


class ApprovalOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an approval ended. `expired` is true when nobody decided in time; `decision` is then `rejected`
    or, with `on_timeout: approve`, `approved`."""

    decision: Literal["approved", "rejected"]
    comment: str = ""
    data: Any = None
    actor: str = ""
    expired: bool = False


def faults(request: ApprovalRequest) -> list[str]:
    """What makes a request one that nobody could ever decide as it says; each begins with the field's name."""
    return [f"{field}: {message}" for field, message in faults_by_field(request).items()]


def faults_by_field(request: ApprovalRequest) -> dict[str, str]:
    """The same, the message by the name of its field."""
    found: dict[str, str] = {}
    if request.required < 1:
        found["required"] = f"expected 1 approver or more, found {request.required}"
    elif too_few := _too_few(request.approvers, request.required):
        found["required"] = too_few
    timeout_s = request.timeout_s
    if timeout_s is not None and not 0 < timeout_s <= MAX_TIMEOUT_S:  # NaN is neither
        found["timeout_s"] = f"expected a number of seconds above 0, at most 100 years, found {timeout_s:g}"
    if request.on_timeout == "escalate":
        if not request.escalate_to:
            found["escalate_to"] = "expected somebody to escalate to, found nobody"
        elif too_few := _too_few(request.escalate_to, request.required):
            found["escalate_to"] = too_few
        if timeout_s is None:
            found["timeout_s"] = "expected a time after which to escalate, found none"
    if request.on_timeout == "goto" and not request.goto:
        found["goto"] = "expected a step to go on at, found none"
    return found


def _too_few(approvers: tuple[str, ...], required: int) -> str:
    """A role may be held by any number of people; nobody named means the owner, or anybody if there is none."""
    named = set(approvers)
    if not named or len(named) >= required or any(name.startswith(ROLE) for name in named):
        return ""
    return f"expected as many approvers as are named ({len(named)}) or fewer, found {required}"
