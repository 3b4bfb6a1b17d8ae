"""The types of webhooks and the patterns for them."""

import pytest

from stepwell.core.errors import InvalidInputError
from stepwell.webhooks.types import TYPES, expand


def test_all_types_of_the_specification_are_known() -> None:
    runs = ["started", "paused", "resumed", "waiting_approval", "completed", "failed", "cancelled", "retried"]
    steps = ["started", "completed", "failed", "retrying"]
    approvals = ["requested", "approved", "rejected", "expired"]
    assert set(TYPES) == {
        *(f"workflow.run.{what}" for what in runs),
        *(f"workflow.step.{what}" for what in steps),
        *(f"workflow.approval.{what}" for what in approvals),
    }


def test_patterns_stand_for_the_types_that_begin_like_them() -> None:
    assert expand(["workflow.run.failed"]) == {"workflow.run.failed"}
    assert expand(["workflow.step.*"]) == {kind for kind in TYPES if ".step." in kind}
    assert expand(["*"]) == set(TYPES)


@pytest.mark.parametrize("events", [[], ["workflow.run.exploded"], ["workflow.*.failed"], ["webhook.test"], [""]])
def test_events_that_do_not_exist_are_refused_by_name(events: list[str]) -> None:
    with pytest.raises(InvalidInputError, match=r"^events: expected .* found") as refused:
        expand(events)
    assert not events or repr(events[0]) in str(refused.value)
