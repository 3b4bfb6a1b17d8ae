"""Template documents: the standard example compiles, and everything that can be wrong has its place and its words."""

import json
from typing import Any

import msgspec
import pytest

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.retry import RetryPolicy
from stepwell.programs.plan import model as m
from stepwell.programs.plan.programs import PlanPrograms
from stepwell.programs.plan.scope import Services
from stepwell.programs.plan.templates import KIND, read_template
from stepwell.programs.plan.templates.reading import slug

from .plan_world import Calls, Endpoint, function, http, step, template, variables, work

PROGRAMS = PlanPrograms(KIND, read_template, Services(functions=Calls().functions, http=Endpoint()))

EXAMPLE = {
    "id": "5d1f3a52-3a3f-4f4e-9a3c-0c4d2c9b8a11",
    "name": "Import and review",
    "description": "",
    "status": "published",
    "version": 1,
    "variables": [
        {
            **{"name": "source", "type": "string", "required": True, "description": "", "default": None},
            **{"enum": None, "pattern": None, "secret": False},
        }
    ],
    "steps": [
        {
            **{"key": "fetch", "name": "Fetch", "type": "task", "depends_on": []},
            "config": {"action": "http.request", "method": "GET", "url": "{{ input.source }}", "agent_id": None},
            "retry": {
                **{"max_attempts": 3, "backoff": "exponential", "initial_ms": 1000, "multiplier": 2},
                **{"max_ms": 60000, "jitter": 0.2, "retry_on": ["timeout", "http_5xx", "http_429"]},
            },
            **{"timeout_seconds": 300, "heartbeat_timeout_seconds": None, "on_error": "fail", "when": None},
            "output_schema": None,
        },
        {
            **{"key": "review", "name": "Review", "type": "approval", "depends_on": ["fetch"]},
            "config": {
                "prompt": "Release {{ steps.fetch.output.body.rows }} rows?",
                **{"approvers": {"roles": ["owner"]}, "required": 1, "timeout_seconds": 86400},
                **{"on_timeout": "fail", "allow_self_approval": True},
            },
        },
        {
            **{"key": "notify", "name": "Notify", "type": "callback", "depends_on": ["review"]},
            "config": {
                **{"url": "https://example.com/start", "timeout_seconds": 3600},
                "payload": {"rows": "{{ steps.fetch.output.body.rows }}"},
            },
        },
    ],
    "output": "{{ steps.notify.output }}",
    "timeout_seconds": 604800,
    "max_parallel": 8,
}


def plan(document: Any) -> m.Plan:
    return PROGRAMS.plan(document if isinstance(document, str) else json.dumps(document))


def faults(document: Any) -> dict[str, str]:
    """Pointer to message of all that is wrong."""
    with pytest.raises(InvalidDefinitionError) as refused:
        plan(document)
    return {fault.pointer: fault.message for fault in refused.value.faults}


# --- what is read ---------------------------------------------------------------------------------------------------


def test_the_whole_of_a_template_is_read() -> None:
    found = plan(EXAMPLE)
    assert (found.name, found.timeout_s, found.max_parallel) == ("Import and review", 604_800, 8)
    assert found.variables == (m.Variable(name="source", required=True),)
    fetch, review, notify = found.steps
    assert fetch.action == m.HttpTask(url="{{ input.source }}")
    assert fetch.retry == RetryPolicy(max_attempts=3, initial_s=1, multiplier=2, max_s=60, jitter=0.2)
    assert (fetch.retry_on, fetch.timeout_s, fetch.at) == (("timeout", "http_5xx", "http_429"), 300, "/steps/0")
    assert isinstance(review.action, m.Approval)
    assert (review.action.approvers, review.action.timeout_s) == (("role:owner",), 86_400)
    assert notify.depends_on == ("review",)
    assert found.output == "{{ steps.notify.output }}"


def test_the_older_form_of_a_body_is_a_template_too() -> None:
    found = plan(
        {
            "name": "Old",
            "steps": [
                {"name": "Load the rows", "type": "task", "config": {"action": "function", "function": "echo"}},
                {"name": "Ask", "type": "approval", "config": {}},
                {"name": "Tell", "type": "callback", "config": {"url": "https://x.example"}},
            ],
        }
    )
    assert [(one.key, one.name) for one in found.steps] == [
        *(("load-the-rows", "Load the rows"), ("ask", "Ask"), ("tell", "Tell"))
    ]


@pytest.mark.parametrize(
    ("name", "key"), [("Fetch", "fetch"), ("Löschen & Senden!", "loschen-senden"), ("  a__b  ", "a__b"), ("!!!", "")]
)
def test_a_key_defaults_to_a_slug_of_the_name(name: str, key: str) -> None:
    assert slug(name) == key


def test_a_name_defaults_to_the_key() -> None:
    assert plan(template(work("a"))).steps[0].name == "a"


def test_every_key_of_every_type_is_read() -> None:
    found = plan(
        template(
            http("h", method="PUT", headers={"A": "b"}, query={"q": 1}, body=[1]),
            function("f", value=1),
            step("w", "wait", {"until": "2030-01-01T00:00:00Z"}),
            step(
                "a",
                "approval",
                {
                    **{"prompt": "p", "title": "t", "schema": {"type": "object"}, "context": 1, "required": 2},
                    **{"approvers": {"users": ["u"], "roles": ["r"]}, "timeout_seconds": 5},
                    **{"on_timeout": "escalate", "escalate_to": {"users": ["v", "w"]}, "allow_self_approval": False},
                },
            ),
            step("cb", "callback", {"url": "https://x.example", "payload": {"a": 1}, "timeout_seconds": 2.5}),
            step("c", "condition", {"if": ".input.x", "then": ["s"], "else": ["ag"]}),
            step("each", "foreach", {"items": [1], "steps": [function("inner")], "max_parallel": 3}),
            step("s", "subworkflow", {"template_id": "kid", "input": {"a": 1}}),
            step(
                "ag",
                "agent",
                {
                    **{"prompt": "p", "system": "s", "model": "m", "tools": ["echo"], "max_turns": 4},
                    "output_schema": {"type": "string"},
                },
            ),
            variables=variables(x="boolean"),
        )
    )
    actions = {one.key: one.action for one in found.steps}
    assert actions == {
        "h": m.HttpTask(url="https://them.example/x", method="PUT", headers={"A": "b"}, query={"q": 1}, body=[1]),
        "f": m.FunctionTask(function="echo", args={"value": 1}),
        "w": m.Wait(until="2030-01-01T00:00:00Z"),
        "a": m.Approval(
            prompt="p",
            title="t",
            schema={"type": "object"},
            context=1,
            approvers=("u", "role:r"),
            required=2,
            timeout_s=5,
            on_timeout="escalate",
            escalate_to=("v", "w"),
            allow_self_approval=False,
        ),
        "cb": m.Callback(url="https://x.example", payload={"a": 1}, timeout_s=2.5),
        "c": m.Condition(test=".input.x", then=("s",), otherwise=("ag",)),
        "each": m.ForEach(
            items=[1],
            steps=(
                m.PlanStep(
                    key="inner",
                    name="inner",
                    at="/steps/6/config/steps/0",
                    action=m.FunctionTask(function="echo", args={}),
                ),
            ),
            max_parallel=3,
        ),
        "s": m.SubWorkflow(workflow="kid", input={"a": 1}),
        "ag": m.Agent(
            prompt="p", system="s", model="m", tools=("echo",), max_turns=4, output_schema={"type": "string"}
        ),
    }


def test_every_key_around_a_step_is_read() -> None:
    found = plan(
        template(
            function(
                "a",
                retry={
                    "max_attempts": 2,
                    "backoff": "linear",
                    "initial_ms": 5,
                    "multiplier": 3,
                    "max_ms": 7,
                    "jitter": 0,
                },
                timeout_seconds=1.5,
                heartbeat_timeout_seconds=2,
                on_error="continue",
                when="true",
                output_schema={"type": "null"},
                compensate={"action": "function", "function": "undo", "args": {"name": "{{ steps.a.output }}"}},
                depends_on=[],
            ),
            additional_variables=True,
            env={"STAGE": "test"},
            compensate_on=["failure"],
            output=None,
        )
    )
    one = found.steps[0]
    policy = RetryPolicy(max_attempts=2, backoff="linear", initial_s=0.005, multiplier=3, max_s=0.007, jitter=0)
    assert (one.retry, one.timeout_s, one.heartbeat_timeout_s) == (policy, 1.5, 2)
    assert (one.on_error, one.when, one.output_schema, one.depends_on) == ("continue", "true", {"type": "null"}, ())
    assert one.compensate == m.FunctionTask(function="undo", args={"name": "{{ steps.a.output }}"})
    assert (found.additional_variables, found.compensate_on) == (True, ("failure",))
    assert found.env == (m.Env(name="STAGE", value="test"),)
    assert found.output is msgspec.UNSET


# --- what is refused ------------------------------------------------------------------------------------------------


def one(type: str = "task", config: Any = None, /, **rest: Any) -> str:
    """A template of one step."""
    config = {"action": "function", "function": "echo"} if type == "task" and config is None else config
    return template({"key": "a", "type": type, "config": config, **rest})


BAD = {
    # the document
    "no steps": (json.dumps({"name": "P"}), "/steps", "expected the property 'steps'"),
    "empty steps": (json.dumps({"name": "P", "steps": []}), "/steps", "expected at least one step, found none"),
    "no name": (json.dumps({"steps": [work("a")]}), "/name", "expected the property 'name'"),
    "unknown key": (template(work("a"), outputs=1), "/outputs", "did you mean 'output'?"),
    "no JSON": ("{", "", "expected"),
    "a list": ("[]", "", "expected an object"),
    "time-out": (template(work("a"), timeout_seconds=0), "/timeout_seconds", "a number of seconds above 0"),
    "parallel": (template(work("a"), max_parallel=0), "/max_parallel", "a whole number of 1 or more"),
    "compensate_on": (template(work("a"), compensate_on=["always"]), "/compensate_on/0", "expected 'failure'"),
    "env": (template(work("a"), env={"A": 1}), "/env/A", "expected text, found the number 1"),
    "env name": (template(work("a"), env={"a b": "1"}), "/env", "expected names of letters"),
    # around a step
    "unknown step key": (one(retries=3), "/steps/0/retries", "did you mean 'retry'?"),
    "no type": (template({"key": "a", "config": {}}), "/steps/0/type", "expected the property 'type'"),
    "unknown type": (template(step("a", "taks")), "/steps/0/type", "did you mean 'task'?"),
    "no key": (template({"type": "wait", "config": {"seconds": 1}}), "/steps/0/key", "found neither"),
    "bad key": (template(work("a/b")), "/steps/0/key", "expected letters, digits, _ and -"),
    "same key": (template(work("a"), work("a")), "/steps/1/key", "found that of /steps/0"),
    "no step": (template(work("a"), 5), "/steps/1", "expected an object, found the number 5"),  # type: ignore[arg-type]
    "attempts": (one(retry={"max_attempts": 0}), "/steps/0/retry/max_attempts", "from 1 to 1000"),
    "backoff": (one(retry={"backoff": "cubic"}), "/steps/0/retry/backoff", "'constant', 'linear' or 'exponential'"),
    "jitter": (one(retry={"jitter": 2}), "/steps/0/retry/jitter", "a number from 0 to 1"),
    "initial": (one(retry={"initial_ms": -1}), "/steps/0/retry/initial_ms", "a number of milliseconds"),
    "multiplier": (one(retry={"multiplier": 0}), "/steps/0/retry/multiplier", "from 1 to 1000"),
    "max": (one(retry={"max_ms": "x"}), "/steps/0/retry/max_ms", "a number of milliseconds"),
    "unknown retry": (one(retry={"attempts": 2}), "/steps/0/retry/attempts", "did you mean 'max_attempts'?"),
    "step time-out": (one(timeout_seconds=-1), "/steps/0/timeout_seconds", "a number of seconds above 0"),
    "heartbeat": (one(heartbeat_timeout_seconds="x"), "/steps/0/heartbeat_timeout_seconds", "a number of seconds"),
    "on_error": (one(on_error="ignore"), "/steps/0/on_error", "expected fail, wait, continue or goto:<key>"),
    "goto nowhere": (one(on_error="goto:z"), "/steps/0/on_error", "found 'z'"),
    "goto itself": (one(on_error="goto:a"), "/steps/0/on_error", "found itself"),
    "goto back": (template(work("a"), work("b", on_error="goto:a")), "/steps/1/on_error", "leads forward only"),
    "goto aside": (
        template(work("a", depends_on=[], on_error="goto:b"), work("b", depends_on=[])),
        "/steps/0/on_error",
        "expected a step that waits for 'a'",
    ),
    "schema": (one(output_schema={"type": "strin"}), "/steps/0/output_schema/type", "an error in it"),
    "when": (one(when='.input == "x'), "/steps/0/when", "expected an expression"),
    "when of jq's own": (one(when="[.[] | 1]"), "/steps/0/when", "is not supported"),
    "compensate": (one(compensate={"action": "undo"}), "/steps/0/compensate/action", "or 'function', found 'undo'"),
    "compensate function": (
        one(compensate={"action": "function", "function": "undoo"}),
        "/steps/0/compensate/function",
        "did you mean 'undo'?",
    ),
    # dependencies
    "unknown dependency": (template(work("a"), work("b", depends_on=["aa"])), "/steps/1/depends_on/0", "mean 'a'?"),
    "itself": (one(depends_on=["a"]), "/steps/0/depends_on/0", "found itself"),
    "circle": (
        template(work("a", depends_on=["b"]), work("b", depends_on=["a"])),
        "/steps/0/depends_on",
        "the steps wait for each other in a circle: a -> b -> a",
    ),
    "no text": (one(depends_on=[1]), "/steps/0/depends_on/0", "expected text"),
    # types
    "no action": (one("task", {}), "/steps/0/config/action", "expected 'http.request' or 'function', found null"),
    "unknown action": (one("task", {"action": "http"}), "/steps/0/config/action", "found 'http'"),
    "agent_id": (
        one("task", {"action": "http.request", "url": "https://x.example", "agent_id": "7"}),
        "/steps/0/config/agent_id",
        "found 'agent_id'",
    ),
    "no url": (one("task", {"action": "http.request"}), "/steps/0/config/url", "expected the property 'url'"),
    "method": (
        one("task", {"action": "http.request", "url": "x", "method": "GE T"}),
        "/steps/0/config/method",
        "expected the name of a method",
    ),
    "unknown function": (
        one("task", {"action": "function", "function": "ecko"}),
        "/steps/0/config/function",
        "expected the name of a registered function, found 'ecko'; did you mean 'echo'?",
    ),
    "wait for nothing": (one("wait", {}), "/steps/0/config", "exactly one of 'seconds' or 'until'"),
    "wait for both": (one("wait", {"seconds": 1, "until": "x"}), "/steps/0/config/until", "exactly one of"),
    "wait back": (one("wait", {"seconds": -1}), "/steps/0/config/seconds", "expected a number of seconds"),
    "required": (one("approval", {"required": 0}), "/steps/0/config/required", "of 1 or more"),
    "too few": (
        one("approval", {"required": 2, "approvers": {"users": ["u"]}}),
        "/steps/0/config/required",
        "as many approvers as are named (1)",
    ),
    "on_timeout": (one("approval", {"on_timeout": "shrug"}), "/steps/0/config/on_timeout", "escalate or goto:<key>"),
    "on_timeout goto": (
        one("approval", {"on_timeout": "goto:b", "timeout_seconds": 1}),
        "/steps/0/config/on_timeout",
        "found 'b'",
    ),
    "escalate to nobody": (
        one("approval", {"on_timeout": "escalate", "timeout_seconds": 1}),
        "/steps/0/config/escalate_to",
        "somebody to escalate to",
    ),
    "escalate never": (
        one("approval", {"on_timeout": "escalate", "escalate_to": {"users": ["u"]}}),
        "/steps/0/config/timeout_seconds",
        "a time after which to escalate",
    ),
    "approvers": (one("approval", {"approvers": ["u"]}), "/steps/0/config/approvers", "expected an object"),
    "form": (one("approval", {"schema": {"type": 1}}), "/steps/0/config/schema/type", "an error in it"),
    "approval time-out": (one("approval", {"timeout_seconds": 0}), "/steps/0/config/timeout_seconds", "above 0"),
    "callback time-out": (one("callback", {"timeout_seconds": 0}), "/steps/0/config/timeout_seconds", "above 0"),
    "no if": (one("condition", {"then": []}), "/steps/0/config/if", "expected the property 'if'"),
    "then nowhere": (one("condition", {"if": "true", "then": ["z"]}), "/steps/0/config/then/0", "found 'z'"),
    "else nowhere": (one("condition", {"if": "true", "else": ["z"]}), "/steps/0/config/else/0", "found 'z'"),
    "in both": (
        template(step("a", "condition", {"if": "true", "then": ["b"], "else": ["b"]}), work("b")),
        "/steps/0/config",
        "found 'b' in both",
    ),
    "then back": (
        template(work("b"), step("a", "condition", {"if": "true", "then": ["b"]})),
        "/steps/1/config/then",
        "expected steps behind 'a', found 'b', which is before it",
    ),
    "no items": (one("foreach", {"steps": [work("w")]}), "/steps/0/config/items", "expected the property 'items'"),
    "foreach nothing": (one("foreach", {"items": [], "steps": []}), "/steps/0/config/steps", "at least one step"),
    "inside": (
        one("foreach", {"items": [], "steps": [step("w", "wat")]}),
        "/steps/0/config/steps/0/type",
        "did you mean 'wait'?",
    ),
    "same key inside": (
        one("foreach", {"items": [], "steps": [work("a")]}),
        "/steps/0/config/steps/0/key",
        "found that of /steps/0",
    ),
    "at once": (
        one("foreach", {"items": [], "steps": [work("w")], "max_parallel": 1.5}),
        "/steps/0/config/max_parallel",
        "a whole number",
    ),
    "no child": (one("subworkflow", {}), "/steps/0/config", "exactly one of 'template_id' or 'workflow_id'"),
    "no prompt": (one("agent", {}), "/steps/0/config/prompt", "expected the property 'prompt'"),
    "no tool": (one("agent", {"prompt": "p", "tools": ["echo", "hammer"]}), "/steps/0/config/tools/1", "'hammer'"),
    "turns": (one("agent", {"prompt": "p", "max_turns": 0}), "/steps/0/config/max_turns", "of 1 or more"),
    "agent schema": (
        one("agent", {"prompt": "p", "output_schema": {"type": 3}}),
        "/steps/0/config/output_schema/type",
        "an error in it",
    ),
    # lookups
    "unknown root": (template(function("a", value="{{ inptu.x }}")), "/steps/0/config/args/value", "mean 'input'?"),
    "undeclared": (
        template(function("a", value="{{ input.nn }}"), variables=variables(n="string")),
        "/steps/0/config/args/value",
        "{{ input.nn }}: expected a declared variable, found 'nn'; did you mean 'n'?",
    ),
    "unknown step": (
        template(work("a"), function("b", value=["x {{ steps.aa.output }}"])),
        "/steps/1/config/args/value/0",
        "expected the key of a step, found 'aa'; did you mean 'a'?",
    ),
    "later step": (
        template(function("a", value="{{ steps.b.output }}"), work("b")),
        "/steps/0/config/args/value",
        "expected a step that has ended by then, found 'b': name it in depends_on",
    ),
    "step beside": (
        template(work("a", depends_on=[]), function("b", value="{{ steps.a.output }}", depends_on=[])),
        "/steps/1/config/args/value",
        "name it in depends_on",
    ),
    "its own output": (
        template(function("a", value="{{ steps.a.output }}")),
        "/steps/0/config/args/value",
        "found the step itself",
    ),
    "step of a foreach": (
        template(
            step("a", "foreach", {"items": [], "steps": [work("w")]}), function("b", value="{{ steps.w.output }}")
        ),
        "/steps/1/config/args/value",
        "'w' is inside the foreach 'a': what it gives is in steps.a.output",
    ),
    "nothing of a step": (
        template(work("a"), function("b", value="{{ steps.a }}")),
        "/steps/1/config/args/value",
        "expected steps.<key>.output, status or error, found steps.a",
    ),
    "unknown env": (
        template(function("a", value="{{ env.STAGE }}"), env={"STAG": "x"}),
        "/steps/0/config/args/value",
        "did you mean 'STAG'?",
    ),
    "unknown run": (template(function("a", value="{{ run.owner }}")), "/steps/0/config/args/value", "found 'owner'"),
    "item outside": (template(function("a", value="{{ item }}")), "/steps/0/config/args/value", "found 'item'"),
    "no path": (template(function("a", value="{{ 1 + 1 }}")), "/steps/0/config/args/value", "expected a path like"),
    "no end": (
        template(function("a", value="{{ input.x")),
        "/steps/0/config/args/value",
        "expected '}}' behind '{{'",
    ),
    "output": (template(work("a"), output="{{ steps.b.output }}"), "/output", "found 'b'"),
    "compensate lookup": (
        one(compensate={"action": "function", "function": "undo", "args": {"name": "{{ steps.z.output }}"}}),
        "/steps/0/compensate/args/name",
        "found 'z'",
    ),
    "step in when": (one(when=".steps.z.output > 1"), "/steps/0/when", "expected the key of a step, found 'z'"),
    "input in when": (one(when=".input.z > 1"), "/steps/0/when", "expected a declared variable, found 'z'"),
    "step in if": (
        one("condition", {"if": '.steps["z"].output'}),
        "/steps/0/config/if",
        "expected the key of a step, found 'z'",
    ),
    "jq variable": (one(when="$x > 1"), "/steps/0/when", "found $x"),
    # variables
    "variable type": (
        template(work("a"), variables=[{"name": "x", "type": "text"}]),
        "/variables/0/type",
        "found 'text'",
    ),
    "variable key": (
        template(work("a"), variables=[{"name": "x", "defualt": 1}]),
        "/variables/0/defualt",
        "did you mean 'default'?",
    ),
    "variable name": (template(work("a"), variables=[{"name": "a b"}]), "/variables/0/name", "expected a name of"),
    "variable twice": (
        template(work("a"), variables=[{"name": "x"}, {"name": "x"}]),
        "/variables/1/name",
        "found 'x' a second time",
    ),
    "default": (
        template(work("a"), variables=[{"name": "x", "type": "integer", "default": "one"}]),
        "/variables/0/default",
        "expected a whole number, found 'one'",
    ),
    "default of enum": (
        template(work("a"), variables=[{"name": "x", "default": "c", "enum": ["a", "b"]}]),
        "/variables/0/default",
        "expected one of 'a', 'b', found 'c'",
    ),
    "enum": (
        template(work("a"), variables=[{"name": "x", "type": "integer", "enum": [1, "2"]}]),
        "/variables/0/enum/1",
        "expected a whole number",
    ),
    "no choice": (template(work("a"), variables=[{"name": "x", "enum": []}]), "/variables/0/enum", "at least one"),
    "pattern": (
        template(work("a"), variables=[{"name": "x", "pattern": "("}]),
        "/variables/0/pattern",
        "expected a regular expression",
    ),
    "pattern of a number": (
        template(work("a"), variables=[{"name": "x", "type": "number", "pattern": "1"}]),
        "/variables/0/pattern",
        "expected no pattern for the type 'number'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_with_its_place(name: str) -> None:
    document, place, words = BAD[name]
    found = faults(document)
    assert place in found, found
    assert words in found[place], found


def test_all_faults_are_told_at_once() -> None:
    document = template(
        function("a", "nope", value="{{ input.x }}", timeout_seconds=0),
        step("b", "wait", {"minutes": 1}, depends_on=["c"]),
        step("d", "approval", {"required": "two"}, when=".steps.q"),
        variables=[{"name": "n", "type": "int"}],
        outputs=1,
    )
    assert set(faults(document)) >= {
        "/outputs",
        "/variables/0/type",
        "/steps/0/timeout_seconds",
        "/steps/1/config/minutes",
        "/steps/1/depends_on/0",
        "/steps/2/config/required",
        "/steps/2/when",
    }


def test_a_step_at_fault_brings_no_faults_upon_those_that_refer_to_it() -> None:
    document = template(work("a", timeout_seconds=0), function("b", value="{{ steps.a.output }}"))
    assert set(faults(document)) == {"/steps/0/timeout_seconds"}


def test_there_are_at_most_500_steps() -> None:
    assert len(plan(template(*(work(f"s{n}") for n in range(500)))).steps) == 500
    document = template(*(work(f"s{n}") for n in range(501)))
    assert faults(document) == {"/steps/500": "expected at most 500 steps, found 501"}


def test_steps_inside_a_foreach_count_too() -> None:
    inner = [work(f"i{n}") for n in range(400)]
    document = template(step("each", "foreach", {"items": [], "steps": inner}), *(work(f"s{n}") for n in range(100)))
    assert "expected at most 500 steps, found 501" in " ".join(faults(document).values())


def test_foreach_goes_three_deep() -> None:
    def nested(depth: int) -> dict[str, Any]:
        inner = nested(depth - 1) if depth else work("w")
        return step(f"e{depth}", "foreach", {"items": [], "steps": [inner]})

    assert plan(template(nested(2)))
    assert "foreach inside each other" in " ".join(faults(template(nested(3))).values())


# --- what the engine is told ----------------------------------------------------------------------------------------


def test_the_outline_has_every_step_as_it_will_run() -> None:
    document = template(
        work("a", retry={"max_attempts": 4}, timeout_seconds=9, heartbeat_timeout_seconds=3),
        step("each", "foreach", {"items": [], "steps": [work("w")]}, retry={"max_attempts": 2}),
        timeout_seconds=60,
    )
    compiled = PROGRAMS.compile(document)
    first, each = compiled.outline
    assert (first.key, first.type, first.max_attempts, first.timeout_s, first.heartbeat_timeout_s) == (
        "a",
        "task",
        4,
        9,
        3,
    )
    assert (each.depends_on, each.steps[0].key, each.steps[0].max_attempts) == (("a",), "w", 2)
    assert (compiled.timeout_s, compiled.title) == (60, "Plan")


def test_a_digest_changes_with_what_a_step_does_only() -> None:
    def digest(**rest: Any) -> str:
        return (
            PROGRAMS.compile(template(*([work("z")] if rest.pop("moved", False) else []), work("a", **rest)))
            .outline[-1]
            .digest
        )

    same = digest()
    assert digest(moved=True) == same
    assert digest(takes=3) != same
    assert digest(when="true") != same


def test_compensation_is_a_workflow_of_its_own() -> None:
    undo = {"action": "function", "function": "undo", "args": {"name": "x"}}
    compiled = PROGRAMS.compile(template(work("a", compensate=undo), compensate_on=["failure"]))
    assert compiled.undo_on_failure
    assert compiled.outline[0].undoable
    assert PROGRAMS.compile(compiled.compensation or "").title == "Undo Plan"
    assert PROGRAMS.compile(template(work("a"), compensate_on=["failure"])).compensation is None
