"""Pipelines of few lines, and what they send."""

from typing import Any

import msgspec

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow.json_text import read_json
from stepwell.programs.pipeline.compiling import compile_pipeline
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.simulating import simulate

STARTED_AT = 1_700_000_000.0


def document(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document whose stages emit unless they say otherwise."""
    pipeline = [{"stage": f"s{number}", "emit": True, **stage} for number, stage in enumerate(stages, 1)]
    return {"id": "wf", "producerName": "p", "topic": "t", "pipeline": pipeline, **more}


def compiled(document: Any) -> Pipeline:
    return compile_pipeline(read_json(JSON.encode(document).decode()))


async def sent(document: Any, *, seed: str = "seed", executions: int = 1) -> list[Any]:
    """The payloads of all executions, in order."""
    found = await simulate(compiled(document), seed=seed, started_at=STARTED_AT, executions=executions)
    return [msgspec.json.decode(message.payload) for messages in found for message in messages]


async def value(function: str, **state: Any) -> Any:
    """What a function gives, with this state."""
    (payload,) = await sent(document({"set": {"v": {"$fn": function}}}, state=state))
    return payload["v"]


async def fault(document: Any) -> str:
    """What is wrong with a document first: when it is compiled, or when it runs."""
    try:
        await sent(document)
    except InvalidDefinitionError as error:
        return error.faults[0].message
    except RuleError as error:
        return str(error)
    raise AssertionError("nothing is wrong with it")


def faults(document: Any) -> list[tuple[str, str]]:
    """Everything that is wrong with a document: pointer and text."""
    try:
        compiled(document)
    except InvalidDefinitionError as error:
        return [(found.pointer, found.message) for found in error.faults]
    return []
