"""Handler ids lead to runs, and runs to handler ids."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from stepwell.doors.llama.ids import LENGTH, beginning_of, handler_id_of, new_handler_id, run_id_of
from stepwell.engine.ids import new_id

NOW = st.floats(min_value=0, max_value=4_300_000_000)


@given(NOW)
def test_fresh_handler_id_leads_to_a_run_id_that_leads_back(now: float) -> None:
    handler_id = new_handler_id(now)
    run_id = run_id_of(handler_id)

    assert len(handler_id) == LENGTH
    assert run_id is not None
    assert uuid.UUID(run_id).version == 7
    assert handler_id_of(run_id) == handler_id


@given(NOW)
def test_any_run_begins_as_its_handler_id_says(now: float) -> None:
    run_id = new_id(now)
    beginning = beginning_of(handler_id_of(run_id))

    assert beginning is not None
    assert run_id.startswith(beginning)


def test_run_whose_id_is_no_uuid7_has_it_as_its_handler_id() -> None:
    run_id = str(uuid.uuid4())

    assert handler_id_of(run_id) == run_id


@given(st.text(max_size=12))
def test_any_other_text_is_no_handler_id(text: str) -> None:
    run_id = run_id_of(text)

    assert run_id is None or handler_id_of(run_id) == text
