"""Runs executions without any effect: what would be sent is shown, waits and queries are passed over."""

from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.running import PASSED, Message, run_execution


def simulate(pipeline: Pipeline, *, seed: str, started_at: float, executions: int = 1) -> list[list[Message]]:
    """The messages of every execution, in order. Raises `RuleError` at the first thing that goes wrong."""
    return [
        simulate_one(
            pipeline,
            Execution(workflow_id=pipeline.id, seed=pipeline.seed or seed, index=index, started_at=started_at),
        )
        for index in range(1, executions + 1)
    ]


def simulate_one(pipeline: Pipeline, execution: Execution) -> list[Message]:
    """The messages of one execution."""
    messages: list[Message] = []
    running = run_execution(pipeline, execution)
    answer: object = None
    try:
        while True:
            effect = running.send(answer)
            answer = None
            if type(effect) is Message:
                messages.append(effect)
            else:
                answer = PASSED
    except StopIteration:
        return messages
