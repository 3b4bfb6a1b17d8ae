"""Plans in a real engine on virtual time: functions for them to call, an endpoint elsewhere, a model that says what
it is told, and templates written in a few words.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from engine.harness import CrashAt, Crashed, Lab, Life, Ran, World
from engine.virtual_time import VirtualLoop
from stepwell.core.errors import Problem, StepFailure
from stepwell.core.program import StepContext
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine, RunResult
from stepwell.engine.views import RunView, StepView
from stepwell.programs.agents.port import AgentRequest, AgentTurn
from stepwell.programs.callbacks import SecretTokens
from stepwell.programs.functions import Functions
from stepwell.programs.http import HttpRequest, HttpResponse
from stepwell.programs.plan.programs import PlanPrograms
from stepwell.programs.plan.scope import Services
from stepwell.programs.plan.templates import KIND, read_template
from stepwell.store.model import Record, RunQuery
from stepwell.store.sqlite import SqliteStore

RUN_ID = "01900000-0000-7000-8000-000000000001"
PATIENCE_S = 10_000.0
TOKENS = SecretTokens(lambda: b"secret", base_url="https://us.example")

Answer = Callable[[HttpRequest], HttpResponse | Exception]
Speak = Callable[[AgentRequest, StepContext], AgentTurn]
Scenario = Callable[[Engine], Awaitable[Any]]


class Endpoint:
    """A server elsewhere: remembers what it was asked, and answers as told."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.asked: list[HttpRequest] = []
        self._answer = answer or (lambda _request: json_response({}))

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request)
        answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Model:
    """A language model that says what it is told (`AgentRunner`)."""

    def __init__(self, speak: Speak) -> None:
        self.asked: list[AgentRequest] = []
        self._speak = speak

    async def turn(self, request: AgentRequest, step: StepContext) -> AgentTurn:
        self.asked.append(request)
        return self._speak(request, step)


def json_response(body: Any, status: int = 200, **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(
        status=status, headers={"content-type": "application/json", **named}, content=msgspec.json.encode(body)
    )


class Calls:
    """The functions that plans call, and a log of what they did."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.lab: Lab | None = None
        self.fails: dict[str, int] = {}
        """Name to the number of times that `work` fails for it (-1: always)."""
        self.functions = Functions()
        for call in (self.echo, self.work, self.undo, self.pulse, self.leak):
            self.functions.function(name=call.__name__)(call)

    async def echo(self, value: Any = None) -> Any:
        """Give back what it gets."""
        return value

    def began(self, ctx: StepContext) -> None:
        """Tell the invariants that an activity began."""
        if self.lab is not None:
            seq = self.lab.disk_seq(ctx.run_id)
            self.lab.ran.append(Ran(ctx.run_id, ctx.key, ctx.attempt, seq, self.lab.life))

    async def work(self, ctx: StepContext, name: str, takes: float = 0.0, value: Any = None) -> Any:
        """Take some time, and fail as often as told."""
        self.began(ctx)
        self.log.append(f"begin {name}")
        if takes:
            await asyncio.sleep(takes)
        left = self.fails.get(name, 0)
        if left:
            self.fails[name] = left - 1
            raise StepFailure(Problem(type="out_of_order", detail=f"{name} fails"))
        self.log.append(f"end {name}")
        return name if value is None else value

    async def undo(self, ctx: StepContext, name: str) -> str:
        self.began(ctx)
        self.log.append(f"undo {name}")
        return name

    async def pulse(self, ctx: StepContext, beats: int, every: float = 1.0) -> int:
        """Say that it is alive, some times, then fall silent."""
        for _ in range(beats):
            ctx.heartbeat()
            await asyncio.sleep(every)
        await asyncio.sleep(100)
        return beats

    async def leak(self, ctx: StepContext, secret: str) -> dict[str, Any]:
        """Say a secret wherever something can be said."""
        ctx.think(f"the secret is {secret}")
        ctx.publish({"secret": secret})
        return {"it": secret, "long": f"<{secret}>"}


def function(key: str, call: str = "echo", /, **rest: Any) -> dict[str, Any]:
    """A step that calls a function; what is no key of a step is an argument."""
    keys = ["depends_on", "retry", "timeout_seconds", "heartbeat_timeout_seconds", "on_error", "when"]
    keys += ["output_schema", "compensate"]
    step = {one: rest.pop(one) for one in keys if one in rest}
    return {"key": key, "type": "task", "config": {"action": "function", "function": call, "args": rest}, **step}


def work(key: str, /, **rest: Any) -> dict[str, Any]:
    """A step that works under its own name."""
    step = function(key, "work", **rest)
    step["config"]["args"].setdefault("name", key)
    return step


def step(key: str, type: str, config: dict[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
    return {"key": key, "type": type, "config": config or {}, **rest}


def http(key: str, **rest: Any) -> dict[str, Any]:
    keys = ("retry", "timeout_seconds", "output_schema", "on_error", "depends_on", "compensate")
    outer = {one: rest.pop(one) for one in keys if one in rest}
    config = {"action": "http.request", "url": "https://them.example/x", **rest}
    return {"key": key, "type": "task", "config": config, **outer}


def template(*steps: dict[str, Any], **rest: Any) -> str:
    return msgspec.json.encode({"name": "Plan", "steps": list(steps), **rest}).decode()


def variables(**types: str) -> list[dict[str, Any]]:
    return [{"name": name, "type": type} for name, type in types.items()]


class PlanWorld(World):
    """A world of templates. `others` are saved beside the one under test, by name."""

    def __init__(
        self,
        *,
        calls: Calls | None = None,
        endpoint: Endpoint | None = None,
        model: Model | None = None,
        expressions: Any = None,
    ) -> None:
        super().__init__({})
        self.calls = calls or Calls()
        self.calls.lab = self.lab
        self.endpoint = endpoint or Endpoint()
        self.model = model
        self._expressions = expressions

    def services(self) -> Services:
        return Services(
            functions=self.calls.functions,
            http=self.endpoint,
            expressions=self._expressions,
            callbacks=TOKENS,
            agents=self.model,
        )

    def engine(self, store: SqliteStore, loop: VirtualLoop) -> Engine:
        return Engine(
            store=store,
            dispatch=LocalDispatch(),
            clock=loop,
            options=self.options,
            programs=[PlanPrograms(KIND, read_template, self.services())],
        )

    def play(self, scenario: Scenario, *, crash: CrashAt | None = None) -> Any:
        """A scenario in one life, or in two when the first one crashes."""

        async def lived(life: Life) -> Any:
            return await scenario(life.engine)

        try:
            return self.live(lived, crash=crash)
        except Crashed:
            return self.live(lived)


class Played(msgspec.Struct, kw_only=True):
    """How a run went."""

    result: Any
    view: RunView
    calls: Any = None

    @property
    def output(self) -> Any:
        assert self.result.error is None, self.result.error
        return self.result.output

    def step(self, key: str) -> StepView:
        return next(step for step in all_steps(self.view.steps) if step.key == key)

    def statuses(self) -> dict[str, str]:
        return {step.key: step.status for step in self.view.steps}


def all_steps(steps: Sequence[StepView]) -> list[StepView]:
    return [found for step in steps for found in (step, *all_steps(step.parts))]


async def save(engine: Engine, document: str, name: str = "plan") -> None:
    """Keep a template, as somebody's: else no run may start it as its child."""
    await engine.store.put_record(Record(kind=KIND, id=name, data={}, owner="ann"))
    await engine.save(kind=KIND, name=name, version="1", text=document)


async def start(engine: Engine, document: str, input: Any = None, **options: Any) -> str:
    """Start the run under test; again in another life it is the same one."""
    await save(engine, document)
    started = await engine.start("plan", input, run_id=RUN_ID, start_key="the one", **options)
    return started.run_id


async def ended(engine: Engine, run_id: str = RUN_ID) -> RunResult:
    return await engine.result(run_id, timeout_s=PATIENCE_S)


async def quiet(engine: Engine) -> None:
    """Until every run has ended and the outbox is empty."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            runs = await engine.list_runs(RunQuery(limit=1000))
            if all(run.ended_at is not None for run in runs) and not await engine.store.take_outbox(1e12, 1):
                return
            await asyncio.sleep(1.0)


def play(
    document: str,
    input: Any = None,
    *,
    acts: Scenario | None = None,
    others: dict[str, str] | None = None,
    world: PlanWorld | None = None,
) -> Played:
    """Run a template to its end, with what somebody does meanwhile."""
    with world or PlanWorld() as played:

        async def scenario(engine: Engine) -> Played:
            for name, other in (others or {}).items():
                await save(engine, other, name)
            run_id = await start(engine, document, input, owner="ann")
            acting = asyncio.ensure_future(acts(engine)) if acts is not None else None
            result = await ended(engine, run_id)
            if acting is not None:
                await acting
            await quiet(engine)
            return Played(result=result, view=await engine.view(run_id), calls=played.calls)

        found: Played = played.play(scenario)
        played.check()
    return found
