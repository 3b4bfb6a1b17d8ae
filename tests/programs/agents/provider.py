"""A local endpoint that speaks OpenAI's chat protocol, and a way to ask it: each answer is what the test says."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from stepwell.core.errors import Problem
from stepwell.core.program import RunContext, StepContext
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine
from stepwell.programs.agents import AgentSettings, OpenAiAgents
from stepwell.programs.agents.port import AgentRequest, AgentTurn, Message
from stepwell.programs.native import NativePrograms
from stepwell.store.model import StreamItem
from stepwell.store.sqlite import SqliteStore

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
HELLO = AgentRequest(messages=(Message(role="user", content="2 + 2?"),))

Chunk = dict[str, Any]


def delta(**fields: Any) -> Chunk:
    """A chunk of an answer."""
    return _chunk(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


def end(reason: str = "stop") -> Chunk:
    return _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])


def usage(**counts: Any) -> Chunk:
    return _chunk(choices=[], usage={**USAGE, **counts})


def call(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: str = "") -> Chunk:
    """A piece of a tool call."""
    piece: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    if index is not None:
        piece["index"] = index
    if id is not None:
        piece["id"] = id
    return delta(tool_calls=[piece])


def _chunk(**fields: Any) -> Chunk:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}


def says(*texts: str) -> list[Chunk]:
    """A whole answer."""
    return [*(delta(content=text) for text in texts), end(), usage()]


class Cut:
    """The connection breaks here."""


class Pause:
    """Nothing comes any more, and the connection stays."""


CUT, PAUSE = Cut(), Pause()
Answer = Sequence[Chunk | Cut | Pause | str] | Response


class Provider:
    """Answers in turn; the last one stays. Keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def complete(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Response):
            return answer
        return StreamingResponse(self._stream(list(answer)), media_type="text/event-stream")

    async def _stream(self, chunks: list[Any]) -> AsyncIterator[bytes]:
        for chunk in chunks:
            match chunk:
                case Cut():
                    raise ConnectionError("cut")
                case Pause():
                    await asyncio.sleep(30)
                case str():
                    yield chunk.encode()
                case _:
                    yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"


def refusal(status: int, message: str, *, code: str = "", headers: dict[str, str] | None = None) -> Response:
    """An error as such endpoints word it."""
    return JSONResponse({"error": {"message": message, "type": "x", "code": code or None}}, status, headers)


@asynccontextmanager
async def provider(*answers: Answer) -> AsyncIterator[Provider]:
    """An endpoint on loopback."""
    found = Provider()
    found.answers = list(answers)
    routes = [Route("/v1/chat/completions", found.complete, methods=["POST"])]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.wait({serving}, timeout=0.01)
        found.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        try:
            yield found
        finally:
            server.should_exit = True
            await serving


class Asked(msgspec.Struct, kw_only=True):
    """What came of a question: the turn or the problem, and the run's stream."""

    answer: AgentTurn | None
    problem: Problem | None
    stream: list[StreamItem]

    @property
    def turn(self) -> AgentTurn:
        assert self.answer is not None, self.problem
        return self.answer

    @property
    def failed(self) -> Problem:
        assert self.problem is not None, self.answer
        return self.problem

    def items(self, kind: str) -> list[Any]:
        return [item.data for item in self.stream if item.type == kind]


async def ask(url: str, request: AgentRequest = HELLO, **settings: Any) -> Asked:
    """One turn as the step of a run."""
    options: dict[str, Any] = {"model": "m1", "api_key": lambda: "sk-test-0123456789", **settings}
    agents = OpenAiAgents(AgentSettings(base_url=url, **options))
    try:
        return await ask_with(agents, request)
    finally:
        await agents.aclose()


async def ask_with(agents: OpenAiAgents, request: AgentRequest = HELLO) -> Asked:
    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        async def work(step: StepContext) -> Any:
            return msgspec.to_builtins(await agents.turn(request, step))

        return await ctx.step("/turn", work, heartbeat_timeout_s=20.0)

    native = NativePrograms()
    native.add("ask", program)
    store = SqliteStore(f"file:/agents-{uuid4().hex}?vfs=memdb")
    engine = Engine(store=store, dispatch=LocalDispatch(), programs=[native])
    await engine.open()
    try:
        await engine.save(kind="python", name="ask", version="1", text="ask")
        result = await engine.run("ask", timeout_s=20)
        return Asked(
            answer=msgspec.convert(result.output, AgentTurn) if result.error is None else None,
            problem=result.error,
            stream=await engine.stream(result.run_id),
        )
    finally:
        await engine.close(grace_s=0)
