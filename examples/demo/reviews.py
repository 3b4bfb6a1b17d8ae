"""The llama API: a LlamaIndex workflow asks a person, and waits while the server is stopped and started anew.

The workflow is that of `examples/llama`; its class knows nothing of Stepwell.
"""

import json
from typing import Any

from stage import Stage, expect


def play(stage: Stage) -> None:
    known = stage.ask("GET", "/workflows")["workflows"]
    stage.say(f"GET /workflows: {', '.join(known)}")
    expect("a class and a flow", {"review", "order"} <= set(known), True)
    started = stage.ask("POST", "/workflows/review/run-nowait", {"start_event": {"text": "a rope and a lamp"}})
    id = started["handler_id"]
    stage.say(f"handler {id} runs as {started['run_id']}")
    stage.stop()
    stage.say(f"the server is stopped; another one takes it up: {stage.serve()}")
    _answer(stage, id, approved=False, comment="too short")
    _answer(stage, id, approved=True, comment="good")
    handler = stage.until(lambda: _handler(stage, id), lambda one: one["result"], what="the result")
    expect("result", handler["result"]["value"]["result"], {"published": True, "comments": ["too short", "good"]})
    types = _types(stage.read(f"/events/{id}"))
    stage.say(f"GET /events/{id}: {', '.join(types)}")
    expect("events", types, ["WasRead", "Question", "Question", "StopEvent"])
    stage.say("as expected: no event was lost with the server, no question was asked twice")


def _answer(stage: Stage, id: str, **answer: Any) -> None:
    stage.ask("POST", f"/events/{id}", {"event": {"type": "Answer", "value": answer}})
    stage.say(f"POST /events/{id}: {json.dumps(answer)}")


def _handler(stage: Stage, id: str) -> Any:
    found = stage.ask("GET", "/llama/handlers")["handlers"]
    return next(one for one in found if one["handler_id"] == id)


def _types(text: str) -> list[str]:
    return [json.loads(line[6:])["type"] for line in text.splitlines() if line.startswith("data: ")]
