"""`approval`: people decide. A rejection, and a decision that nobody took in time, are errors."""

from typing import Any

from stepwell.core.approvals import ApprovalRequest, faults_by_field
from stepwell.programs.flow.nodes.approvals import refusal
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.plan.actions.port import GoToError
from stepwell.programs.plan.interpolation import as_text
from stepwell.programs.plan.model import Approval
from stepwell.programs.plan.scope import Place


class ApprovalAction:
    BY_ITSELF = KEEPS_TIME = REPEATS = True
    FAILS_BY_ITSELF = False

    def __init__(self, approval: Approval) -> None:
        self._approval = approval
        self._target = approval.on_timeout.removeprefix("goto:") if approval.on_timeout.startswith("goto:") else ""

    async def perform(self, place: Place) -> Any:
        outcome = await place.ctx.approve(place.key, self._request(place), name=place.step.name)
        if outcome.decision == "approved":
            return {"decision": outcome.decision, "comment": outcome.comment, "data": outcome.data}
        error = refusal(outcome, self._approval.on_timeout, place.key, place.at)
        raise GoToError(error, self._target) if outcome.expired and self._target else error

    def _request(self, place: Place) -> ApprovalRequest:
        """Raises `ProgramError`."""
        approval, veil = self._approval, place.veil
        timeout_s = place.seconds(approval.timeout_s, "timeout_s")
        words: dict[str, Any] = {"on_timeout": "goto", "goto": self._target} if self._target else {}
        request = ApprovalRequest(
            prompt=veil.value(as_text(place.filled(approval.prompt, "prompt"))),
            title=veil.value(as_text(place.filled(approval.title, "title"))),
            schema=approval.schema,
            context=veil.value(place.filled(approval.context, "context")),
            approvers=tuple(as_text(name) for name in place.filled(list(approval.approvers), "approvers")),
            required=approval.required,
            timeout_s=place.step.timeout_s if timeout_s is None else timeout_s,
            escalate_to=tuple(as_text(name) for name in place.filled(list(approval.escalate_to), "escalate_to")),
            allow_self_approval=approval.allow_self_approval,
            **(words or {"on_timeout": approval.on_timeout}),
        )
        for field, message in faults_by_field(request).items():
            raise failure("validation", message, place.pointer(field), status=400)
        return request
