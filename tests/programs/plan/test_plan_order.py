"""When steps of a plan run: the order, what conditions and errors make of it, and that the rest is not held up."""

from typing import Any

import pytest

from stepwell.core.status import Status

from .plan_world import Calls, PlanWorld, Played, function, play, step, template, variables, work


def failing(*names: str) -> PlanWorld:
    """A world in which `work` fails always under these names."""
    calls = Calls()
    calls.fails = dict.fromkeys(names, -1)
    return PlanWorld(calls=calls)


def test_steps_run_in_list_order_without_any_depends_on() -> None:
    played = play(template(work("a", takes=2), work("b", takes=1), work("c")))
    assert played.calls.log == ["begin a", "end a", "begin b", "end b", "begin c", "end c"]
    assert played.output == "c"


def test_a_step_starts_as_soon_as_its_own_dependencies_are_done() -> None:
    """A then C, beside a slow B: C does not wait for B."""
    played = play(
        template(
            work("a", takes=1), work("b", takes=10), work("c", depends_on=["a"]), work("d", depends_on=["b", "c"])
        )
    )
    assert played.calls.log == [
        *("begin a", "begin b", "end a", "begin c", "end c", "end b"),
        *("begin d", "end d"),
    ]
    started = {step.key: (step.started_at or 0) - played.view.row.created_at for step in played.view.steps}
    assert started == {"a": 0, "b": 0, "c": 1, "d": 10}


def test_time_on_a_step_is_that_of_what_it_waited_for() -> None:
    """A wait behind a slow step counts from that step's end."""
    played = play(
        template(
            work("slow", takes=7, depends_on=[]),
            work("quick"),
            step("w", "wait", {"seconds": 2}, depends_on=["slow", "quick"]),
        )
    )
    assert played.step("w").started_at == played.step("slow").ended_at
    assert played.step("w").ended_at == pytest.approx(played.view.row.created_at + 9)


def test_max_parallel_bounds_the_steps_under_way() -> None:
    steps = [work(f"s{n}", takes=5, depends_on=[]) for n in range(4)]
    steps[3]["depends_on"] = ["s0"]
    log = play(template(*steps, max_parallel=2)).calls.log
    under_way = [sum(1 if word.startswith("begin") else -1 for word in log[:n]) for n in range(len(log) + 1)]
    assert max(under_way) == 2
    unbounded = play(template(*steps)).calls.log
    assert unbounded[:3] == ["begin s0", "begin s1", "begin s2"]


def test_a_wait_that_stood_in_line_counts_from_its_own_start() -> None:
    played = play(
        template(
            step("w1", "wait", {"seconds": 10}, depends_on=[]),
            step("w2", "wait", {"seconds": 10}),
            work("last", depends_on=["w1", "w2"]),
            max_parallel=1,
        )
    )
    created_at = played.view.row.created_at
    assert played.step("w2").ended_at == pytest.approx(created_at + 20)


# --- conditions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "ran", "skipped"), [(7, "x", "y"), (3, "y", "x")])
def test_the_branch_not_taken_is_skipped(n: int, ran: str, skipped: str) -> None:
    played = play(
        template(
            step("c", "condition", {"if": ".input.n > 5", "then": ["x"], "else": ["y"]}),
            *(work("x"), work("y"), work("z")),
            variables=variables(n="integer"),
        ),
        {"n": n},
    )
    assert played.statuses() == {"c": "completed", ran: "completed", skipped: "skipped", "z": "completed"}
    assert played.step("c").output == {"result": n > 5, "branch": "then" if n > 5 else "else"}
    assert played.step(skipped).attempts == ()


def test_what_depends_on_skipped_steps_only_runs_all_the_same() -> None:
    played = play(
        template(
            step("c", "condition", {"if": "false", "then": ["x"]}),
            work("x", depends_on=["c"]),
            work("after", depends_on=["x"]),
        )
    )
    assert played.statuses() == {"c": "completed", "x": "skipped", "after": "completed"}


def test_a_skipped_condition_takes_neither_branch() -> None:
    played = play(
        template(
            step("outer", "condition", {"if": "false", "then": ["inner"]}),
            step("inner", "condition", {"if": "true", "then": ["x"], "else": ["y"]}),
            *(work("x"), work("y"), work("z")),
        )
    )
    assert played.statuses() == {
        **{"outer": "completed", "inner": "skipped"},
        **{"x": "skipped", "y": "skipped", "z": "completed"},
    }


def test_a_step_that_a_condition_names_waits_for_it() -> None:
    played = play(
        template(
            work("first", takes=3),
            step("c", "condition", {"if": '.steps.first.output == "first"', "then": ["x"]}, depends_on=["first"]),
            work("x"),
        )
    )
    assert played.step("x").started_at == played.view.row.created_at + 3


def test_when_skips_a_step_and_its_output_is_null() -> None:
    played = play(
        template(
            function("a", value=3),
            function("b", value=1, when=".steps.a.output > 5"),
            function("c", value="{{ steps.b.status }}"),
            function("d", value="{{ steps.b.output }}"),
        )
    )
    assert played.step("b").status == "skipped"
    assert played.step("c").output == "skipped"
    assert played.step("d").output is None


def test_when_may_read_input_and_env() -> None:
    document = template(
        function("a", when='.input.mode == "go" and .env.STAGE == "test"'),
        variables=variables(mode="string"),
        env={"STAGE": "test"},
    )
    assert play(document, {"mode": "go"}).step("a").status == "completed"
    assert play(document, {"mode": "stop"}).step("a").status == "skipped"


def test_a_condition_that_fails_fails_its_step() -> None:
    played = play(template(function("a", value="text"), step("c", "condition", {"if": ".steps.a.output.x > 1"})))
    assert played.result.status is Status.FAILED
    assert played.step("c").error is not None
    assert played.view.error is not None
    assert played.view.error.instance == "/steps/1/config/if"


def test_the_run_s_output_is_that_of_the_last_step_that_was_not_skipped() -> None:
    played = play(
        template(step("c", "condition", {"if": "true", "then": ["x"], "else": ["y"]}), work("x"), work("y"))
    )
    assert played.output == "x"


def test_output_of_a_template_is_filled_in() -> None:
    document = template(function("a", value=[1, 2]), output={"rows": "{{ steps.a.output }}", "by": "{{ run.name }}"})
    assert play(document).output == {"rows": [1, 2], "by": "Plan"}


# --- errors ---------------------------------------------------------------------------------------------------------


def run_failing(on_error: str, *rest: dict[str, Any]) -> Played:
    return play(template(work("a", takes=1, on_error=on_error, depends_on=[]), *rest), world=failing("a"))


def test_an_error_fails_the_run_at_once_and_cancels_the_others() -> None:
    played = run_failing("fail", work("b", takes=10), work("c", depends_on=["a"]), work("d", depends_on=["b"]))
    assert played.result.status is Status.FAILED
    assert played.statuses() == {"a": "failed", "b": "cancelled", "c": "pending", "d": "pending"}
    assert played.view.failed_step == "a"
    assert played.view.row.ended_at == played.view.row.created_at + 1


def test_on_error_wait_lets_the_others_end_first() -> None:
    played = run_failing("wait", work("b", takes=10), work("c", depends_on=["a"]), work("d", depends_on=["b"]))
    assert played.result.status is Status.FAILED
    assert played.statuses() == {"a": "failed", "b": "completed", "c": "pending", "d": "completed"}
    assert played.view.failed_step == "a"
    assert played.result.error.detail == "a fails"


def test_of_several_errors_the_first_is_the_run_s() -> None:
    played = play(
        template(work("a", takes=5, on_error="wait", depends_on=[]), work("b", takes=2, on_error="wait")),
        world=failing("a", "b"),
    )
    assert played.result.error.detail == "b fails"
    assert played.view.failed_step == "b"


def test_on_error_continue_gives_null_and_shows_the_error() -> None:
    played = play(
        template(
            work("a", on_error="continue"),
            function("b", value="{{ steps.a.error.code }}: {{ steps.a.error.message }}"),
            function("c", value="{{ steps.a.output }}"),
        ),
        world=failing("a"),
    )
    assert played.result.status is Status.COMPLETED
    assert played.step("b").output == "out_of_order: a fails"
    assert played.step("c").output is None
    assert played.step("a").status == "failed"


def test_on_error_goto_skips_what_lies_between() -> None:
    played = play(template(work("a", on_error="goto:d"), work("b"), work("c"), work("d")), world=failing("a"))
    assert played.statuses() == {"a": "failed", "b": "skipped", "c": "skipped", "d": "completed"}
    assert played.output == "d"


def test_a_goto_that_is_not_taken_skips_nothing() -> None:
    played = play(template(work("a", on_error="goto:c"), work("b"), work("c")))
    assert set(played.statuses().values()) == {"completed"}


def test_a_goto_in_a_graph_leaves_what_does_not_wait_for_it() -> None:
    played = play(
        template(
            work("a", on_error="goto:end", depends_on=[]),
            *(work("leaf", depends_on=["a"]), work("beside"), work("end", depends_on=["a", "beside"])),
            work("after", depends_on=["end", "leaf"]),
        ),
        world=failing("a"),
    )
    assert played.statuses() == {
        **{"a": "failed", "leaf": "skipped", "beside": "completed"},
        **{"end": "completed", "after": "completed"},
    }


def test_a_goto_passes_over_a_condition_to_its_target() -> None:
    played = play(
        template(
            work("a", on_error="goto:x"),
            step("c", "condition", {"if": "true", "then": ["w", "x"]}),
            *(work("w"), work("x"), work("y")),
        ),
        world=failing("a"),
    )
    assert played.statuses() == {"a": "failed", "c": "skipped", "w": "skipped", "x": "completed", "y": "completed"}


def test_an_error_in_a_value_names_its_place() -> None:
    played = play(template(function("a", value={"x": 1}), function("b", value="{{ steps.a.output.y }}")))
    error = played.result.error
    assert error.instance == "/steps/1/config/args/value"
    assert "expected 'y' in steps.a.output, found only x" in error.detail
    assert played.step("b").status == "failed"
