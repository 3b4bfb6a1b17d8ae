"""A world whose workflows are flows, beside programs written against the verbs. Every step of theirs is logged in the
lab, whatever it does: a function, a call over HTTP, a process.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from stepwell.core.program import Branch, Compiled, Program, Programs, RunContext, StepContext, Work
from stepwell.core.retry import RetryPolicy
from stepwell.engine import Engine, EngineOptions
from stepwell.programs.agents.port import AgentRequest, AgentTurn, ToolCall
from stepwell.programs.callbacks import SecretTokens
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions
from stepwell.programs.processes import LocalProcesses, ProcessRequest, ProcessResult

from .harness import Lab, World
from .service import Service
from .virtual_time import VirtualLoop

LONG_S = 60.0
SHALLOW = EngineOptions(idle_s=0.2, max_depth=2)
TOKENS = SecretTokens(lambda: b"secret", base_url="https://well.test")


class Watched:
    """A context of which each step that begins is logged; all else is the context's own."""

    def __init__(self, ctx: RunContext, lab: Lab) -> None:
        self._ctx = ctx
        self._lab = lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    async def step(self, key: str, work: Work, **options: Any) -> Any:
        async def logged(step: StepContext) -> Any:
            self._lab.begins(step)
            return await work(step)

        return await self._ctx.step(key, logged, **options)

    async def race(self, key: str, branches: Mapping[str, Branch], **options: Any) -> Any:
        watched = {name: self._watched(branch) for name, branch in branches.items()}
        return await self._ctx.race(key, watched, **options)

    def _watched(self, branch: Branch) -> Branch:
        return lambda ctx: branch(cast(RunContext, Watched(ctx, self._lab)))


class WatchedFlows:
    """`Programs` of flows."""

    kind = "flow"

    def __init__(self, flows: FlowPrograms, lab: Lab) -> None:
        self._flows = flows
        self._lab = lab
        self._compiled: dict[str, Compiled] = {}

    def compile(self, document: str) -> Compiled:
        if document not in self._compiled:
            compiled = self._flows.compile(document)
            self._compiled[document] = msgspec.structs.replace(compiled, program=self._watched(compiled.program))
        return self._compiled[document]

    def _watched(self, program: Program) -> Program:
        async def run(ctx: RunContext, input: Any) -> Any:
            return await program(cast(RunContext, Watched(ctx, self._lab)), input)

        return run


class RealProcesses:
    """Processes take real time: virtual time stands still for them. Those of a loop belong to it."""

    def __init__(self) -> None:
        self._processes: dict[VirtualLoop, LocalProcesses] = {}

    async def run(self, request: ProcessRequest) -> ProcessResult:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with loop.standing_still():
            return await self._processes.setdefault(loop, LocalProcesses()).run(request)

    async def launch(self, request: ProcessRequest) -> None:
        """Waited for, so that nothing is left behind."""
        await self.run(request)


class Model:
    """A language model that has each number of the question incremented, and then answers."""

    async def turn(self, request: AgentRequest, step: StepContext) -> AgentTurn:
        step.think("hm")
        await asyncio.sleep(0.01)
        found = [message.content for message in request.messages if message.role == "tool"]
        if found:
            return AgentTurn(text=f"[{','.join(found)}]")
        numbers = msgspec.json.decode(request.messages[-1].content, type=list[int])
        calls = (ToolCall(id=str(n), name="increment", arguments={"n": n}) for n in numbers)
        return AgentTurn(tool_calls=tuple(calls))


def functions_of(lab: Lab) -> Functions:
    """What the flows of the corpus call."""
    functions = Functions()

    @functions.function
    async def note(n: Any = None) -> Any:
        await asyncio.sleep(0.01)
        return {"n": n}

    @functions.function
    async def increment(n: int, by: int = 1) -> Any:
        await asyncio.sleep(0.01)
        return {"n": n + by}

    @functions.function
    async def slow() -> str:
        await asyncio.sleep(LONG_S)
        return "slow"

    @functions.function(retry=RetryPolicy(max_attempts=4, initial_s=0.3, jitter=0.2))
    async def flaky(ctx: StepContext) -> str:
        lab.failed[ctx.run_id, ctx.key] += 1
        assert lab.failed[ctx.run_id, ctx.key] > 1, "the first time it fails"
        return "flaky"

    @functions.function
    async def unsure(ctx: StepContext) -> str:
        lab.failed[ctx.run_id, "unsure"] += 1
        assert lab.failed[ctx.run_id, "unsure"] > 2, "it fails twice in a run"
        return "sure"

    @functions.function
    async def broken() -> None:
        raise ValueError("always")

    return functions


@dataclass
class FlowWorld(World):
    """`flows`: name to document, saved in this order."""

    options: EngineOptions = SHALLOW
    flows: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.service = Service()
        flows = FlowPrograms(
            functions=functions_of(self.lab),
            http=self.service.client(),
            processes=RealProcesses(),
            callbacks=TOKENS,
            agents=Model(),
        )
        self._flows = WatchedFlows(flows, self.lab)

    def kinds(self, loop: VirtualLoop) -> Sequence[Programs]:
        return [*super().kinds(loop), self._flows]

    async def save_definitions(self, engine: Engine) -> None:
        await super().save_definitions(engine)
        for name, text in self.flows.items():
            await engine.save(kind="flow", name=name, version="1.0.0", text=text)
