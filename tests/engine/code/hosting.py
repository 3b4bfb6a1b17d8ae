"""Hosted workflows on the engine's test world: a virtual clock, and crashes at every write. Each invocation of a step
is logged in the lab.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, cast

import msgspec
from workflows import Workflow
from workflows.events import Event

from stepwell.core.program import Branch, Branches, Compiled, Program, Programs, RunContext
from stepwell.core.typed import EVENT_SIGNAL, TypedWorkflow
from stepwell.engine import Engine
from stepwell.programs.code import CodePrograms

from ..flow_world import Watched
from ..harness import Lab, World
from ..virtual_time import VirtualLoop


class WatchedBranches:
    """Branches whose contexts are watched too."""

    def __init__(self, inner: AbstractAsyncContextManager[Branches], watch: Callable[[Branch], Branch]) -> None:
        self._inner = inner
        self._watch = watch

    async def __aenter__(self) -> Self:
        self._branches = await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)

    def begin(self, branch: Branch) -> Callable[[], object]:
        return self._branches.begin(self._watch(branch))

    async def here(self, branch: Branch) -> Any:
        return await self._branches.here(self._watch(branch))

    async def rest(self, awaitable: Awaitable[Any]) -> Any:
        return await self._branches.rest(awaitable)


class WatchedCode(Watched):
    """A context of which each step that begins is logged, on branches that begin as they come too."""

    def branches(self) -> WatchedBranches:
        return WatchedBranches(self._ctx.branches(), self._watched)

    def _watched(self, branch: Branch) -> Branch:
        return lambda ctx: branch(cast(RunContext, WatchedCode(ctx, self._lab)))


class WatchedPrograms:
    """`Programs` of workflow objects."""

    kind = "code"

    def __init__(self, code: CodePrograms, lab: Lab) -> None:
        self._code = code
        self._lab = lab

    def compile(self, document: str) -> Compiled:
        compiled = self._code.compile(document)
        return msgspec.structs.replace(compiled, program=self._watched(compiled.program))

    def _watched(self, program: Program) -> Program:
        async def run(ctx: RunContext, input: Any) -> Any:
            return await program(cast(RunContext, WatchedCode(ctx, self._lab)), input)

        return run


class CodeWorld(World):
    """A world whose workflows are workflow objects, by name."""

    def __init__(
        self, workflows: Mapping[str, Workflow], *, additional_events: Sequence[type[Event]] = (), **options: Any
    ) -> None:
        super().__init__({}, **options)
        self.workflows = workflows
        self.additional_events = additional_events

    def kinds(self, loop: VirtualLoop) -> Sequence[Programs]:
        code = CodePrograms(loop.now)
        for name, workflow in self.workflows.items():
            code.add(name, workflow, self.additional_events)
        return [WatchedPrograms(code, self.lab)]

    async def save_definitions(self, engine: Engine) -> None:
        for name in self.workflows:
            await engine.workflows.save(kind="code", name=name, version="1", text=name, now=self.now)


async def face_of(engine: Engine, name: str) -> TypedWorkflow:
    """What a workflow tells doors."""
    typed: TypedWorkflow = (await engine.workflows.compiled((await engine.workflows.find(name)).digest)).typed
    return typed


async def post(
    engine: Engine, run_id: str, workflow: str, body: Any, *, step: str | None = None, id: str | None = None
) -> None:
    """What a door does with a posted event."""
    await engine.signal(run_id, EVENT_SIGNAL, (await face_of(engine, workflow)).read_event(body, step), id=id)
