# ruff: noqa: E501, ASYNC110  a document of one line is easier to read whole; conditions of others are polled
"""`run` and `call: callback`: run to the end, then from every place where they could have died."""

import asyncio
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from memory_run import STARTED_AT, Ending, MemoryRun, run_through

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import ERROR_BASE, Problem, ProgramError
from stepwell.core.program import Program
from stepwell.programs.callbacks import SecretTokens, run_of, signal_of
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.http import HttpError, HttpRequest, HttpResponse
from stepwell.programs.jq import JqWorkers
from stepwell.programs.processes import LocalProcesses, ProcessError, ProcessLimits, ProcessRequest

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"


# --- run: workflow --------------------------------------------------------------------------------------------------


def child_flow(run: str, more: str = "") -> Program:
    return FlowPrograms().compile(f"{HEAD}do: [{{r: {{run: {{{run}}}{more}}}}}]").program


CHILD = "workflow: {namespace: other, name: kid, version: '1.0.0', input: {x: '${ .n }'}}"


@pytest.mark.parametrize(
    ("run", "output"),
    [
        (CHILD, {"kid": {"x": 5}}),
        ("workflow: {namespace: other, name: kid}", {"kid": None}),
        (CHILD + ", return: none", None),
        (CHILD + ", return: all", {"kid": {"x": 5}}),
        (CHILD + ", await: false", {"n": 5}),
    ],
)
async def test_child_gives_its_output(run: str, output: Any) -> None:
    found = await run_through(
        child_flow(run), {"n": 5}, new=lambda: MemoryRun(child=lambda name, given: {name: given})
    )
    assert found == Ending(output=output)


def failing(_name: str, _given: Any) -> Any:
    raise ProgramError(Problem(type="https://x.y/odd", status=418, title="Odd", detail="why", instance="/do/3/deep"))


async def test_failure_of_a_child_is_the_error_of_the_task() -> None:
    found = await run_through(child_flow(CHILD), {"n": 5}, new=lambda: MemoryRun(child=failing))
    assert found.failure == Problem(
        type="https://x.y/odd",
        status=418,
        title="Odd",
        detail="why",
        instance="/do/0/r",
        data={"workflow": "kid", "instance": "/do/3/deep"},
    )


async def test_failure_of_a_child_can_be_caught() -> None:
    program = (
        FlowPrograms()
        .compile(
            f"{HEAD}do: [{{t: {{try: [{{r: {{run: {{{CHILD}}}}}}}], catch: "
            "{errors: {with: {status: 418}}, do: [{s: {set: {got: '${ $error.title }'}}}]}}}]"
        )
        .program
    )
    found = await run_through(program, {"n": 5}, new=lambda: MemoryRun(child=failing))
    assert found == Ending(output={"got": "Odd"})


# --- run: shell and script ------------------------------------------------------------------------------------------


def process_flow(run: str, processes: LocalProcesses | None = None) -> Program:
    programs = FlowPrograms(processes=processes or LocalProcesses())
    return programs.compile(f"{HEAD}do: [{{r: {{run: {{{run}}}}}}}]").program


async def outcome(run: str, value: Any = None, processes: LocalProcesses | None = None) -> Ending:
    return await run_through(process_flow(run, processes), value)


@pytest.mark.parametrize(
    ("run", "value", "output"),
    [
        ("shell: {command: echo hi}", None, "hi\n"),
        ("shell: {command: '${ .c }'}", {"c": "printf 5"}, "5"),
        (
            "shell: {command: 'read x; echo $x $1 $2 $V', stdin: '${ .in }', arguments: [a b, '${ .n }'], environment: {V: '${ .v }'}}",
            {"in": "from stdin", "n": {"x": 1}, "v": 7},
            'from stdin a b {"x":1} 7\n',
        ),
        ("shell: {command: cat, stdin: '${ . }'}", {"x": [1]}, '{"x":[1]}'),
        ("shell: {command: 'echo out; echo err >&2; exit 3'}, return: code", None, 3),
        ("shell: {command: 'echo out; echo err >&2; exit 3'}, return: stderr", None, "err\n"),
        (
            "shell: {command: 'echo out; echo err >&2; exit 3'}, return: all",
            None,
            {"code": 3, "stdout": "out\n", "stderr": "err\n"},
        ),
        ("shell: {command: echo hi}, return: none", None, None),
        ("shell: {command: true}", None, ""),
        ("shell: {command: kill -9 $$}, return: code", None, -9),
        (
            "script: {language: python, code: 'import sys; print(sys.argv[1], sys.stdin.read())', arguments: [a], stdin: b}",
            None,
            "a b\n",
        ),
        ("shell: {command: sleep 60}, await: false", {"x": 1}, {"x": 1}),
        ("shell: {command: 'echo $STEPWELL_TEST_SECRET'}", None, "\n"),
    ],
)
async def test_process_gives_what_was_asked_for(
    run: str, value: Any, output: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_TEST_SECRET", "secret")
    processes = LocalProcesses()
    try:
        assert await outcome(run.replace("command: true", "command: 'true'"), value, processes) == Ending(
            output=output
        )
    finally:
        await processes.aclose()


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
@pytest.mark.parametrize(
    "code",
    [
        "const [_, __, arg] = process.argv; console.log(arg, require('node:fs').readFileSync(0, 'utf8'))",
        "import { readFileSync } from 'node:fs'\nconst [_, __, arg] = process.argv; console.log(arg, readFileSync(0, 'utf8'))",
    ],
)
async def test_javascript_may_be_a_script_or_a_module(code: str) -> None:
    found = await outcome(f"script: {{language: js, code: {json.dumps(code)}, arguments: [a], stdin: b}}")
    assert found == Ending(output="a b\n")


@pytest.mark.parametrize(
    ("run", "limits", "kind", "status", "words"),
    [
        ("shell: {command: 'echo no >&2; exit 2'}", ProcessLimits(), "runtime", 500, "the code 2: no"),
        ("shell: {command: sleep 60}", ProcessLimits(timeout_s=0.05), "timeout", 408, "within 0.05 s"),
        ("shell: {command: yes}", ProcessLimits(output_bytes=1000), "runtime", 500, "at most 1000 bytes on stdout"),
        (
            "shell: {command: 'exit 0', arguments: ['${ .zero }']}",
            ProcessLimits(),
            "runtime",
            500,
            "cannot be started",
        ),
        (
            "shell: {command: 'exit 0', environment: {X: '${ .list }'}}",
            ProcessLimits(),
            "expression",
            400,
            "the variable 'X'",
        ),
    ],
)
async def test_process_that_goes_wrong_is_an_error(
    run: str, limits: ProcessLimits, kind: str, status: int, words: str
) -> None:
    found = (await outcome(run, {"zero": "a\0b", "list": []}, LocalProcesses(limits))).failure
    assert found is not None
    assert (found.type, found.status) == (ERROR_BASE + kind, status)
    assert words in found.detail


async def test_cancelled_process_is_killed_with_all_that_it_started(tmp_path: Any) -> None:
    request = ProcessRequest(language="shell", code=f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    work = asyncio.create_task(LocalProcesses().run(request))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        await asyncio.sleep(0.01)
    pid = int((tmp_path / "pid").read_text())
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    while is_alive(pid):
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_launched_process_that_cannot_start_is_an_error() -> None:
    with pytest.raises(ProcessError):
        await LocalProcesses().launch(ProcessRequest(language="shell", code="x", arguments=("a\0b",)))


def test_processes_are_off_unless_they_are_handed_in() -> None:
    with pytest.raises(InvalidDefinitionError) as caught:
        FlowPrograms().compile(f"{HEAD}do: [{{r: {{run: {{shell: {{command: ls}}}}}}}}]")
    assert caught.value.faults[0].pointer == "/do/0/r/run/shell"
    assert "not supported: running local processes is off" in caught.value.faults[0].message


@pytest.mark.parametrize(
    ("script", "place"),
    [("language: ruby, code: x", "language"), ("language: js, source: {endpoint: 'http://x'}", "source")],
)
def test_other_scripts_are_not_supported(script: str, place: str) -> None:
    with pytest.raises(InvalidDefinitionError) as caught:
        process_flow(f"script: {{{script}}}")
    assert [(fault.pointer, "not supported" in fault.message) for fault in caught.value.faults] == [
        (f"/do/0/r/run/script/{place}", True)
    ]


# --- call: callback -------------------------------------------------------------------------------------------------


class Tokens(SecretTokens):
    """Tokens with a nonce that a test knows."""

    def nonce(self) -> str:
        return "nonce"


TOKENS = Tokens(lambda: b"secret", base_url="https://my.host/")
TOKEN = TOKENS.token("run-1", "nonce")


class Client:
    """Answers every request; keeps what it was sent."""

    def __init__(self, answer: HttpResponse | HttpError | None = None) -> None:
        self.requests: list[HttpRequest] = []
        self._answer = answer or HttpResponse(status=202)

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        if isinstance(self._answer, HttpError):
            raise self._answer
        return self._answer


def callback(arguments: str, client: Client | None = None) -> Program:
    programs = FlowPrograms(http=client or Client(), callbacks=TOKENS)
    return programs.compile(f"{HEAD}do: [{{c: {{call: callback, with: {{{arguments}}}}}}}]").program


def answered(data: Any, *, after_s: float = 5.0) -> Callable[[], MemoryRun]:
    """Runs in which the callback comes so long after the start."""

    def new() -> MemoryRun:
        memory = MemoryRun()
        memory.signal(signal_of(TOKEN), data, after_s=after_s)
        return memory

    return new


@pytest.mark.parametrize(
    "arguments", ["", "url: 'https://x.y/hook'", "timeout_seconds: 60", "timeout_seconds: '${ .s }'"]
)
@pytest.mark.parametrize(
    ("data", "output"),
    [
        ({"status": "completed", "output": {"x": 1}}, {"x": 1}),
        ({"status": "completed"}, None),
        ({"output": 5}, 5),
        ({"y": 2}, {"y": 2}),
        ("plain", "plain"),
    ],
)
async def test_callback_gives_its_output(arguments: str, data: Any, output: Any) -> None:
    assert await run_through(callback(arguments), {"s": 60}, new=answered(data)) == Ending(output=output)


async def test_callback_that_is_early_counts() -> None:
    found = await run_through(callback("url: 'https://x.y/hook'"), new=answered({"output": 1}, after_s=0))
    assert found == Ending(output=1)


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        ({"code": "no_stock", "message": "sold out"}, "no_stock: sold out"),
        ({"message": "sold out"}, "sold out"),
        ("sold out", "sold out"),
        (None, "the callback says no more"),
    ],
)
async def test_failed_callback_is_an_error(error: Any, detail: str) -> None:
    found = (await run_through(callback(""), new=answered({"status": "failed", "error": error}))).failure
    assert found is not None
    assert (found.type, found.status, found.instance, found.detail, found.data) == (
        ERROR_BASE + "callback_failed",
        500,
        "/do/0/c",
        detail,
        error,
    )


async def test_callback_that_does_not_come_is_a_timeout() -> None:
    found = (await run_through(callback("timeout_seconds: 60"), new=MemoryRun)).failure
    assert found is not None
    assert (found.type, found.status, found.instance) == (ERROR_BASE + "callback_timeout", 408, "/do/0/c")


async def test_url_gets_the_token_and_what_it_is_for() -> None:
    client = Client()
    program = callback("url: '${ .url }', payload: {n: '${ .n }'}, timeout_seconds: 60", client)
    await answered({"output": 1})().play(program, {"url": "https://x.y/hook", "n": 5})
    [request] = client.requests
    assert (request.method, request.url, request.headers["Content-Type"]) == (
        "POST",
        "https://x.y/hook",
        "application/json",
    )
    assert request.headers["Idempotency-Key"]
    assert json.loads(request.content or b"") == {
        "run_id": "run-1",
        "step_key": "/do/0/c",
        "attempt": 1,
        "payload": {"n": 5},
        "callback": {
            "url": f"https://my.host/api/v1/workflow-callbacks/{TOKEN}",
            "token": TOKEN,
            "expires_at": "2023-11-14T22:14:20.000Z",
        },
    }


@pytest.mark.parametrize(
    ("arguments", "answer", "kind", "status", "words"),
    [
        ("url: 'https://x.y/hook'", HttpResponse(status=404), "communication", 404, "found 404"),
        ("url: 'https://x.y/hook'", HttpError("no answer", timed_out=True), "communication", 504, "no answer"),
        ("url: '${ .odd }'", HttpResponse(status=200), "expression", 400, "a URI of http or https"),
        ("timeout_seconds: '${ .odd }'", HttpResponse(status=200), "validation", 400, "a number of seconds above 0"),
    ],
)
async def test_callback_that_cannot_be_asked_for_is_an_error(
    arguments: str, answer: Any, kind: str, status: int, words: str
) -> None:
    found = (await run_through(callback(arguments, Client(answer)), {"odd": "x"}, new=answered(1, after_s=9))).failure
    assert found is not None
    assert (found.type, found.status) == (ERROR_BASE + kind, status)
    assert words in found.detail


async def test_nobody_finds_the_token_in_the_record() -> None:
    memory = answered({"output": 1})()
    await memory.play(callback("url: 'https://x.y/hook'"))
    assert memory.awaited == [signal_of(TOKEN)]
    kept = b"".join(key.encode() + outcome.value for key, outcome in memory.record.items())
    assert TOKEN.encode() not in kept
    assert TOKEN.partition(".")[2].encode() not in kept


def test_token_names_its_run_and_needs_the_secret() -> None:
    assert run_of(TOKEN) == "run-1"
    assert TOKENS.token("run-1", "nonce") == TOKEN
    others = [
        SecretTokens(lambda: b"other").token("run-1", "nonce"),
        TOKENS.token("run-1", "other"),
        TOKENS.token("run-2", "nonce"),
    ]
    assert len({TOKEN, *others}) == 4
    assert len({SecretTokens(lambda: b"x").nonce() for _ in range(50)}) == 50


async def test_callback_without_tokens_says_so() -> None:
    program = FlowPrograms().compile(f"{HEAD}do: [{{c: {{call: callback}}}}]").program
    found = (await run_through(program)).failure
    assert found is not None
    assert found.type == ERROR_BASE + "configuration"


# --- with a full jq -------------------------------------------------------------------------------------------------


async def test_filters_and_until_may_need_a_full_jq() -> None:
    body = (
        "do: [{l: {listen: {to: {any: [{with: {type: '${ test(\"^a\") }', data: {n: '${ . + 1 > 5 }', k: [1, '${ length > 1 }']}}, "
        "correlate: {c: {from: '.data.k[0] + 1', expect: '${ 1 + 1 }'}}}], until: length == 2}, read: envelope}, output: {as: map(.id)}}}]"
    )
    async with JqWorkers() as workers:
        compiled = FlowPrograms(expressions=workers).compile(HEAD + body)
        events = [
            {"id": str(number), "source": "s", "type": kind, "data": {"n": n, "k": [1, "xy"]}}
            for number, (kind, n) in enumerate([("ab", 4), ("ab", 5), ("b", 9), ("ac", 9)])
        ]
        memory = MemoryRun().hear(compiled.listens, [(0, one) for one in events])
        assert await memory.play(compiled.program) == ["1", "3"]
    assert memory.now == STARTED_AT
