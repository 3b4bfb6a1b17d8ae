"""`call: approval`: asks people to decide. The output is `{decision, comment, data}`; a rejection is an error."""

from typing import Any

import msgspec

from stepwell.core.approvals import ApprovalOutcome, ApprovalRequest, faults
from stepwell.core.errors import ProgramError
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes.calls import placed
from stepwell.programs.flow.nodes.scope import Scope, evaluate, failure

_RENAMED = {"timeout_seconds": "timeout_s"}


class ApprovalNode:
    """`arguments` give an object of those that are there, by the names of the language."""

    def __init__(self, arguments: Expression, *, on_timeout: str, name: str, at: str) -> None:
        self._arguments = arguments
        self._on_timeout = on_timeout
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        request = await self._request(scope, value)
        try:
            outcome = await scope.strand.ctx.approve(key, request, name=self._name)
        except ProgramError as error:
            raise placed(error, self._at) from None
        if outcome.decision == "rejected":
            raise refusal(outcome, self._on_timeout, key, self._at)
        return {"decision": outcome.decision, "comment": outcome.comment, "data": outcome.data}

    async def _request(self, scope: Scope, value: Any) -> ApprovalRequest:
        at = f"{self._at}/with"
        found = await evaluate(self._arguments, value, scope.variables(self._arguments, value), at)
        given = {_RENAMED.get(name, name): item for name, item in found.items() if item is not None}
        try:
            request = msgspec.convert({**given, "on_timeout": self._on_timeout}, ApprovalRequest)
        except msgspec.ValidationError as error:
            raise _wrong(str(error), at) from None
        if found_faults := faults(request):
            raise _wrong("; ".join(found_faults), at)
        return request


def refusal(outcome: ApprovalOutcome, on_timeout: str, key: str, at: str) -> ProgramError:
    """The error that a rejection is. Retrying the run asks again: the outcome under `key` is forgotten."""
    if outcome.expired and on_timeout != "reject":
        return failure("approval_timeout", "expected a decision in time, found none", at, status=408, forget=(key,))
    by = f" by {outcome.actor}" if outcome.actor else ""
    because = f": {outcome.comment}" if outcome.comment else ""
    data = {"decision": outcome.decision, "comment": outcome.comment, "data": outcome.data}
    return failure("approval_rejected", f"rejected{by}{because}", at, status=403, data=data, forget=(key,))


def _wrong(what: str, at: str) -> ProgramError:
    return failure("validation", f"the arguments of the approval are wrong: {what}", at, status=400)
