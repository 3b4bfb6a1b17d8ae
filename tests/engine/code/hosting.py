"""Hosted workflows on the engine's test world: a virtual clock, and crashes at every write."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflows import Workflow
from workflows.events import Event

from stepwell.core.program import Programs
from stepwell.core.typed import EVENT_SIGNAL, TypedWorkflow
from stepwell.engine import Engine
from stepwell.programs.code import CodePrograms

from ..harness import World
from ..virtual_time import VirtualLoop


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
        return [code]

    async def save_definitions(self, engine: Engine) -> None:
        for name in self.workflows:
            await engine.workflows.save(kind="code", name=name, version="1", text=name, now=self.now)


async def face_of(engine: Engine, name: str) -> TypedWorkflow:
    """What a workflow tells doors."""
    typed: TypedWorkflow = (await engine.workflows.compiled((await engine.workflows.find(name)).digest)).typed
    return typed


async def post(engine: Engine, run_id: str, workflow: str, body: Any, step: str | None = None) -> None:
    """What a door does with a posted event."""
    await engine.signal(run_id, EVENT_SIGNAL, (await face_of(engine, workflow)).read_event(body, step))
