"""What each type of step does: functions, waits, foreach, subworkflows; attempts, time limits, checked outputs."""

from typing import Any

import pytest

from stepwell.core.errors import code_of
from stepwell.core.status import Status

from .plan_world import Calls, PlanWorld, Played, function, play, step, template, variables, work

THREE = {"max_attempts": 3, "initial_ms": 1000, "jitter": 0}


def code(played: Played) -> str:
    return code_of(played.result.error)


# --- functions ------------------------------------------------------------------------------------------------------


def test_a_function_gets_its_arguments_with_their_json_types() -> None:
    document = template(
        function("a", value={"list": "{{ input.xs }}", "text": "n={{ input.n }}", "n": "{{ input.n }}"}),
        variables=variables(xs="array", n="integer"),
    )
    assert play(document, {"xs": [1, {"y": None}], "n": 7}).output == {
        "list": [1, {"y": None}],
        "text": "n=7",
        "n": 7,
    }


def test_a_function_is_retried_as_its_step_says() -> None:
    calls = Calls()
    calls.fails = {"a": 2}
    played = play(template(work("a", retry=THREE)), world=PlanWorld(calls=calls))
    found = played.step("a")
    assert [(one.number, one.status) for one in found.attempts] == [(1, "failed"), (2, "failed"), (3, "completed")]
    assert [one.started_at - played.view.row.created_at for one in found.attempts] == [0, 1, 3]
    assert (found.attempt, found.max_attempts) == (3, 3)


@pytest.mark.parametrize(
    ("backoff", "starts"), [("constant", [0, 1, 2, 3]), ("linear", [0, 1, 3, 6]), ("exponential", [0, 1, 3, 6])]
)
def test_delays_grow_as_backoff_says(backoff: str, starts: list[float]) -> None:
    calls = Calls()
    calls.fails = {"a": 3}
    retry = {"max_attempts": 4, "initial_ms": 1000, "multiplier": 2, "max_ms": 3000, "jitter": 0, "backoff": backoff}
    played = play(template(work("a", retry=retry)), world=PlanWorld(calls=calls))
    assert [one.started_at - played.view.row.created_at for one in played.step("a").attempts] == pytest.approx(starts)


def test_jitter_spreads_delays() -> None:
    calls = Calls()
    calls.fails = {"a": 1}
    retry = {"max_attempts": 2, "initial_ms": 10_000, "jitter": 0.5}
    second = play(template(work("a", retry=retry)), world=PlanWorld(calls=calls)).step("a").attempts[1]
    assert second.started_at % 1 != 0


@pytest.mark.parametrize(("retry_on", "attempts"), [(["out_of_order"], 3), (["timeout", "http_5xx"], 1), ([], 1)])
def test_retry_on_names_the_errors_worth_another_attempt(retry_on: list[str], attempts: int) -> None:
    calls = Calls()
    calls.fails = {"a": -1}
    played = play(template(work("a", retry={**THREE, "retry_on": retry_on})), world=PlanWorld(calls=calls))
    assert played.step("a").attempt == attempts


@pytest.mark.parametrize(("retry_on", "attempts"), [(["timeout"], 2), (["http_5xx"], 1), (None, 2)])
def test_retry_on_rules_over_time_outs_too(retry_on: Any, attempts: int) -> None:
    retry = {"max_attempts": 2, "retry_on": retry_on}
    assert play(template(work("a", takes=10, timeout_seconds=1, retry=retry))).step("a").attempt == attempts


def test_a_step_that_takes_too_long_fails_with_step_timeout() -> None:
    played = play(template(work("a", takes=100, timeout_seconds=5)))
    assert code(played) == "step_timeout"
    assert played.step("a").ended_at == pytest.approx(played.view.row.created_at + 5)


def test_a_step_that_falls_silent_fails_with_heartbeat_timeout() -> None:
    played = play(template(function("a", "pulse", beats=3, heartbeat_timeout_seconds=2)))
    assert code(played) == "heartbeat_timeout"
    assert played.step("a").ended_at == pytest.approx(played.view.row.created_at + 4)


def test_an_output_that_is_not_of_its_schema_fails_the_step() -> None:
    schema = {"type": "object", "required": ["x"]}
    played = play(template(function("a", value={"y": 1}, output_schema=schema, retry=THREE)))
    assert code(played) == "invalid_output"
    assert played.step("a").attempt == 1, "it would be the same again"
    assert play(template(function("a", value={"x": 1}, output_schema=schema))).output == {"x": 1}


def test_a_run_that_takes_too_long_fails_with_run_timeout() -> None:
    played = play(template(work("a", takes=3), work("b", takes=100), timeout_seconds=5))
    assert code(played) == "run_timeout"
    assert played.statuses() == {"a": "completed", "b": "cancelled"}


# --- waits ----------------------------------------------------------------------------------------------------------


def test_a_wait_takes_fractions_of_seconds() -> None:
    played = play(template(step("w", "wait", {"seconds": 2.5})))
    found = played.step("w")
    assert found.ended_at == pytest.approx((found.started_at or 0) + 2.5)
    assert found.output is None
    assert found.input == {"seconds": 2.5}


def test_a_wait_may_take_its_length_from_the_input() -> None:
    document = template(step("w", "wait", {"seconds": "{{ input.n }}"}), variables=variables(n="number"))
    assert play(document, {"n": 4}).view.row.ended_at == pytest.approx(1_750_000_004)
    failed = play(
        template(step("w", "wait", {"seconds": "{{ input.n }}"}), variables=variables(n="string")), {"n": "x"}
    )
    assert failed.result.error.instance == "/steps/0/config/seconds"


def test_a_wait_until_an_instant_ends_then() -> None:
    played = play(template(step("w", "wait", {"until": "2025-06-15T15:10:00+00:00"})))
    assert played.view.row.ended_at == pytest.approx(1_750_000_200)
    wrong = play(template(step("w", "wait", {"until": "tomorrow"})))
    assert "expected a time with its offset" in wrong.result.error.detail


# --- foreach --------------------------------------------------------------------------------------------------------


def test_foreach_runs_its_steps_for_each_item() -> None:
    inner = [function("w", value="{{ item.name }}-{{ index }}"), function("e", value="{{ steps.w.output }}!")]
    document = template(
        step("each", "foreach", {"items": "{{ input.xs }}", "steps": inner}), variables=variables(xs="array")
    )
    played = play(document, {"xs": [{"name": "p"}, {"name": "q"}]})
    assert played.output == ["p-0!", "q-1!"]
    assert [part.key for part in played.step("each").parts] == ["each@0/w", "each@0/e", "each@1/w", "each@1/e"]


def test_foreach_over_nothing_gives_an_empty_list() -> None:
    assert play(template(step("each", "foreach", {"items": [], "steps": [work("w")]}))).output == []


def test_foreach_bounds_the_items_under_way() -> None:
    config = {"items": [1, 2, 3], "max_parallel": 1, "steps": [work("w", takes=2)]}
    bounded = play(template(step("each", "foreach", config)))
    assert bounded.view.row.ended_at == pytest.approx(1_750_000_006)
    assert bounded.calls.log == ["begin w", "end w"] * 3
    unbounded = play(template(step("each", "foreach", {**config, "max_parallel": None})))
    assert unbounded.view.row.ended_at == pytest.approx(1_750_000_002)


def test_foreach_inside_foreach_sees_its_own_item() -> None:
    inner = step(
        "inner", "foreach", {"items": "{{ item }}", "steps": [function("w", value="{{ item }}.{{ index }}")]}
    )
    played = play(template(step("outer", "foreach", {"items": [[1, 2], [3]], "steps": [inner]})))
    assert played.output == [["1.0", "2.1"], ["3.0"]]


def test_steps_in_a_foreach_see_the_steps_before_it() -> None:
    config = {"items": [1], "steps": [function("w", value="{{ steps.first.output }}/{{ item }}")]}
    assert play(template(function("first", value="x"), step("each", "foreach", config))).output == ["x/1"]


def test_when_in_a_foreach_sees_the_item() -> None:
    config = {"items": [1, 5], "steps": [function("w", value="{{ item }}", when=".item > 2 and .index == 1")]}
    assert play(template(step("each", "foreach", config))).output == [None, 5]


def test_an_item_that_fails_fails_the_foreach_and_cancels_the_others() -> None:
    calls = Calls()
    calls.fails = {"bad": -1}
    config = {"items": ["bad", "good"], "steps": [work("w", name="{{ item }}", takes=5), work("v", name="v")]}
    played = play(
        template(step("each", "foreach", config, on_error="continue"), work("z")), world=PlanWorld(calls=calls)
    )
    assert played.statuses() == {"each": "failed", "z": "completed"}
    parts = {part.key: part.status for part in played.step("each").parts}
    assert parts["each@0/w"] == "failed"


def test_the_retry_of_a_foreach_is_that_of_its_steps() -> None:
    calls = Calls()
    calls.fails = {"w": 1}
    config = {"items": [1], "steps": [work("w")]}
    played = play(template(step("each", "foreach", config, retry=THREE)), world=PlanWorld(calls=calls))
    assert played.result.status is Status.COMPLETED
    assert played.step("each@0/w").attempt == 2


def test_items_must_be_a_list() -> None:
    document = template(
        step("each", "foreach", {"items": "{{ input.xs }}", "steps": [work("w")]}), variables=variables(xs="object")
    )
    error = play(document, {"xs": {"a": 1}}).result.error
    assert (error.instance, "expected a list" in error.detail) == ("/steps/0/config/items", True)


def test_a_step_of_several_has_a_time_limit_as_a_whole() -> None:
    config = {"items": [1, 2], "steps": [work("w", takes=20)]}
    played = play(template(step("each", "foreach", config, timeout_seconds=5)))
    assert code(played) == "step_timeout"
    assert {part.status for part in played.step("each").parts} == {"cancelled"}


# --- subworkflows ---------------------------------------------------------------------------------------------------

KID = template(function("k", value={"got": "{{ input.n }}"}), variables=variables(n="integer"))


@pytest.mark.parametrize("name", ["template_id", "workflow_id"])
def test_a_subworkflow_is_a_child_run_with_its_input(name: str) -> None:
    document = template(step("s", "subworkflow", {name: "kid", "input": {"n": 3}}))
    played = play(document, others={"kid": KID})
    assert played.output == {"got": 3}
    assert played.step("s").child_id


def test_a_subworkflow_that_fails_fails_its_step_at_its_own_place() -> None:
    document = template(step("s", "subworkflow", {"template_id": "kid", "input": {"n": "text"}}))
    error = play(document, others={"kid": KID}).result.error
    assert (error.instance, error.status) == ("/steps/0", 400)
    assert "n: expected a whole number, found 'text'" in error.detail


def test_a_subworkflow_is_retried_as_another_child() -> None:
    calls = Calls()
    calls.fails = {"k": 1}
    document = template(step("s", "subworkflow", {"template_id": "kid"}, retry=THREE), function("z", value=1))
    played = play(document, others={"kid": template(work("k"))}, world=PlanWorld(calls=calls))
    found = played.step("s")
    assert [(one.number, one.status) for one in found.attempts] == [(1, "failed"), (2, "completed")]
    assert found.attempts[1].started_at - found.attempts[0].started_at == pytest.approx(1, abs=0.1)
    assert found.status == "completed"


def test_a_subworkflow_may_be_checked_by_a_schema() -> None:
    document = template(
        step("s", "subworkflow", {"template_id": "kid", "input": {"n": 1}}, output_schema={"type": "string"})
    )
    played = play(document, others={"kid": KID})
    assert code(played) == "invalid_output"
    assert played.step("s").status == "failed"
