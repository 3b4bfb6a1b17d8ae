"""Runs executions without any effect: what would be sent is shown, waits and queries are passed over.

A query or an expectation that has a sample finds that.

It runs on the event loop of a server, so it lets others go on now and then, and has an end.
"""

import asyncio
import time
from typing import Any, Final

from stepwell.programs.pipeline.chance import seed_of
from stepwell.programs.pipeline.execution import Execution, Origin
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.running import PASSED, Breath, Effect, Expecting, Lookup, Message, run_execution

SIMULATION: Final = "SIMULATION"
"""What stands in for the id of a run."""
MAX_EVENTS: Final = 200_000
MAX_BYTES: Final = 64_000_000
"""Of all payloads together."""
MAX_EXECUTIONS: Final = 10_000
LONGEST_S: Final = 30.0
AT_A_STRETCH: Final = 200
"""Events, or executions, before others get their turn."""


async def simulate(
    pipeline: Pipeline, *, seed: str, started_at: float, executions: int = 1, longest_s: float = LONGEST_S
) -> list[list[Message]]:
    """The messages of every execution, in order. Raises `SimulationError` at the first thing that goes wrong."""
    if not 0 < executions <= MAX_EXECUTIONS:
        raise RuleError(f"executions must be from 1 to {MAX_EXECUTIONS} in a simulation (got {executions})")
    simulation = _Simulation(pipeline, pipeline.seed or seed, started_at, longest_s)
    found: list[list[Message]] = []
    try:
        for index in range(1, executions + 1):
            found.append([])
            await simulation.run(index, found[-1])
    except RuleError as fault:
        raise SimulationError(str(fault), found) from None
    return found


class SimulationError(RuleError):
    """An execution went wrong; `messages` are those before, by execution."""

    def __init__(self, text: str, messages: list[list[Message]]) -> None:
        super().__init__(text)
        self.messages = messages


def _sample(effect: Effect, execution: Execution) -> Any:
    """What stands in for an answer. Raises `RuleError` for a message that would never be taken."""
    match effect:
        case Lookup(query=query) if query.sample is not None:
            return query.sample(execution)
        case Expecting(expectation=expectation) if expectation.sample is not None:
            content = expectation.sample(execution)
            if not effect.matches(content):
                raise RuleError(f"expect.sample is not what expect.match wants for stage: {expectation.stage}")
            return content
    return PASSED


class _Simulation:
    def __init__(self, pipeline: Pipeline, seed: str, started_at: float, longest_s: float) -> None:
        self._pipeline = pipeline
        self._origin = Origin(
            workflow_id=pipeline.id, run_id=SIMULATION, seed=seed_of(seed), started_at=started_at, simulated=True
        )
        self._events = 0
        self._bytes = 0
        self._longest_s = longest_s
        self._end_at = time.monotonic() + longest_s

    async def run(self, index: int, messages: list[Message]) -> None:
        """Run an execution, its messages into that list. Raises `RuleError`."""
        execution = self._origin.execution(index)
        running = run_execution(self._pipeline, execution)
        if not index % AT_A_STRETCH:
            await self._breathe()
        answer: object = None
        try:
            while True:
                effect = running.send(answer)
                answer = None
                if type(effect) is Message:
                    messages.append(effect)
                    self._count(effect)
                    if not self._events % AT_A_STRETCH:
                        await self._breathe()
                elif type(effect) is Breath:
                    await self._breathe()
                else:
                    answer = _sample(effect, execution)
        except StopIteration:
            return

    def _count(self, message: Message) -> None:
        self._events += 1
        self._bytes += len(message.body)
        if self._bytes > MAX_BYTES:
            raise RuleError(f"a simulation shows at most {MAX_BYTES} bytes of payloads")
        if self._events > MAX_EVENTS:
            raise RuleError(f"a simulation shows at most {MAX_EVENTS} events")

    async def _breathe(self) -> None:
        """Let others go on; look whether it has taken too long."""
        if time.monotonic() > self._end_at:
            raise RuleError(f"a simulation takes at most {self._longest_s:g} s")
        await asyncio.sleep(0)
