"""Executing and simulating pipelines."""

import uuid
from typing import Any, cast

import msgspec
from starlette.responses import Response

from stepwell.doors.devset.api import ENGINE, api
from stepwell.doors.devset.pipelines import save, take
from stepwell.doors.devset.wire import Event, Events, Failure, Group, SimulateQuery, Submitted
from stepwell.doors.kit import Answer, Call, Reply, json_response
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.faults import Faults
from stepwell.programs.pipeline.running import Message
from stepwell.programs.pipeline.simulating import SIMULATION, SimulationError
from stepwell.programs.pipeline.simulating import simulate as simulate_pipeline

for prefix in ENGINE:

    @api.post(
        f"{prefix}/execute",
        summary="Execute a pipeline",
        bodies={"application/json": dict},
        answers={202: Answer(type=Submitted, meaning="the run is on disk and begins")},
        fails={400: "the document is wrong"},
        keyed=False,
    )
    async def execute(call: Call) -> Response:
        """All of the document is checked before anything runs."""

        async def work() -> Response:
            return json_response(await _execute(call))

        return await call.once(await call.body(), work)

    @api.post(
        f"{prefix}/simulate",
        summary="Simulate a pipeline",
        bodies={"application/json": dict},
        answers={200: Answer(type=Events, meaning="what would be sent")},
        fails={400: "the document is wrong, or an execution went wrong"},
        keyed=False,
    )
    async def simulate(call: Call, query: SimulateQuery) -> Reply:
        """Nothing is sent, waited for or looked up. `partial`: a failure shows the messages before it."""
        pipeline = (await take(call)).pipeline
        seed = pipeline.seed or str(uuid.uuid4())
        try:
            found = await simulate_pipeline(pipeline, seed=seed, started_at=call.now, executions=query.executions)
        except SimulationError as fault:
            if not query.partial:
                raise
            return Reply(body=Failure(message=str(fault), executions=tuple(_groups(fault.messages))), status=400)
        groups = _groups(found)
        body = Events(run_id=SIMULATION, status="COMPLETED", execution_count=len(groups), executions=groups)
        return Reply(body=body)


def _groups(found: list[list[Message]]) -> list[Group]:
    return [
        Group(
            execution_index=index,
            event_count=len(messages),
            events=[
                Event(stage_name=message.stage, header=_plain(message.header), payload=message.payload)
                for message in messages
            ],
        )
        for index, messages in enumerate(found, 1)
    ]


def _plain(headers: dict[str, Any]) -> dict[str, Any]:
    """Headers as their JSON is read: exact decimals are numbers."""
    return cast(dict[str, Any], msgspec.json.decode(JSON.encode(headers))) if headers else headers


async def _execute(call: Call) -> Reply:
    taken = await take(call)
    pipeline = taken.pipeline
    most = call.request.app.state.max_executions
    faults = Faults(taken.source)
    if pipeline.executions > most:
        faults.add("/executions", f"executions must be <= {most}")
    pipeline.destination.check(faults)
    faults.check()
    name, version = await save(call, taken)
    started = await call.engine.start(
        name,
        {"executions": pipeline.executions},
        version=version,
        start_key=call.start_key,
        owner=call.principal.owner,
        door="devset",
        labels={"workflow_name": pipeline.id},
        actor=call.actor,
    )
    body = Submitted(run_id=started.run_id, status="PENDING", executions=pipeline.executions)
    return Reply(body=body, status=202, headers={"Location": f"/engine/runs/{started.run_id}"})
