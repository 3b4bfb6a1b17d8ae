"""`stepwell simulate`: the messages of a pipeline as lines of JSON; nothing is sent and nothing is kept."""

import asyncio
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stepwell.app import App
from stepwell.cli.output import say
from stepwell.core.errors import InvalidInputError
from stepwell.documents import check_document, is_pipeline
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.simulating import simulate as simulate_pipeline


def simulate(
    file: Annotated[Path, Parameter(help="Document of a pipeline, YAML or JSON.")],
    /,
    *,
    executions: Annotated[int, Parameter(help="How many executions.")] = 1,
    seed: Annotated[str | None, Parameter(help="In place of the document's own seed; without any, chance.")] = None,
) -> None:
    """Show what a pipeline would send."""
    app = App()
    document = check_document(file, app.parts.kinds)
    if not is_pipeline(document.text):
        raise InvalidInputError(f"{file} is a flow: only pipelines can be simulated")
    pipeline = app.parts.pipelines.read(document.text)
    if seed is not None:
        pipeline = replace(pipeline, seed=seed)
    began = time.perf_counter()
    found = asyncio.run(
        simulate_pipeline(pipeline, seed=str(uuid.uuid4()), started_at=time.time(), executions=executions)
    )
    took_s = time.perf_counter() - began
    for index, messages in enumerate(found, 1):
        for message in messages:
            shown = {"execution": index, "stage": message.stage, "headers": message.header, "key": message.key}
            sys.stdout.write(f"{JSON.encode({**shown, 'payload': message.payload}).decode()}\n")
    count = sum(map(len, found))
    say(f"{count} messages of {executions} executions, {count / max(took_s, 1e-9):,.0f} a second")
