"""Histories as they are shown: secrets are hidden by value, and what is left can be read as the event that it was."""

from typing import Any

import msgspec

from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import Problem
from stepwell.doors.kit.masked import masked_event
from stepwell.programs.plan.hiding import Veil


class Hidden(Veil):
    """Of a run with a text and a number as secrets."""

    def __init__(self) -> None:
        super().__init__(["sesame", 3])

    def input(self, value: Any) -> Any:
        return self.value(value)


def shown(event: h.AnyEvent) -> Any:
    """The event that is read from what is shown of one."""
    return msgspec.convert(masked_event(event, Hidden()), h.AnyEvent)


def test_secrets_in_data_are_hidden_by_value() -> None:
    event = h.StepCompleted(at=3.0, key="sesame", output=msgspec.Raw(b'{"said": "open sesame", "n": 3, "m": 4}'))
    masked = masked_event(event, Hidden())
    assert masked["output"] == {"said": "open ***", "n": "***", "m": 4}
    assert (masked["at"], masked["key"]) == (3.0, "sesame"), "keys are ours"


def test_numbers_of_ours_stay_whatever_is_secret() -> None:
    error = Problem(type="t", status=3, detail="no sesame", data={"pin": 3}, retry_after_s=3)
    failed = shown(h.AttemptFailed(at=1.0, key="a", attempt=3, error=error))
    assert failed.attempt == 3
    assert (failed.error.status, failed.error.retry_after_s) == (3, 3)
    assert (failed.error.detail, failed.error.data) == ("no ***", {"pin": "***"})
    request = ApprovalRequest(prompt="sesame?", required=3, timeout_s=3.0)
    asked = shown(h.ApprovalRequested(at=1.0, key="a", approval_id="x", request=request))
    assert (asked.request.prompt, asked.request.required, asked.request.timeout_s) == ("***?", 3, 3.0)
