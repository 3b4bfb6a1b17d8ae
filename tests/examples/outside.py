"""What the templates of `examples/templates` call: one server with a few services on it, and a language model."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from doors.served import served


class Outside:
    """What is there, and what was asked. `broken`: the warehouse takes rows and cannot say what it has."""

    def __init__(self) -> None:
        self.url = ""
        self.rows: list[Any] = [{"sku": "rope"}, {"sku": "lamp"}]
        self.warehouse: list[Any] = []
        self.emptied = asyncio.Event()
        self.broken = False
        self.credentials: set[str | None] = set()
        self.orders: asyncio.Queue[Any] = asyncio.Queue()
        self.mails: list[Any] = []
        self.draft = ""
        """What the model writes."""
        self.prompts: list[Any] = []

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/rows", self._rows),
                Route("/warehouse", self._warehouse, methods=["GET", "POST", "DELETE"]),
                Route("/vendor", self._vendor, methods=["POST"]),
                Route("/mail", self._mail, methods=["POST"]),
                Route("/v1/chat/completions", self._model, methods=["POST"]),
            ]
        )

    async def _rows(self, request: Request) -> Response:
        self.credentials.add(request.headers.get("authorization"))
        return JSONResponse({"rows": self.rows})

    async def _warehouse(self, request: Request) -> Response:
        self.credentials.add(request.headers.get("authorization"))
        if request.method == "POST":
            self.warehouse += (await request.json())["rows"]
        elif request.method == "DELETE":
            self.warehouse.clear()
            self.emptied.set()
        elif self.broken:
            return JSONResponse({}, 422)
        return JSONResponse({"rows": len(self.warehouse)})

    async def _vendor(self, request: Request) -> Response:
        self.orders.put_nowait(await request.json())
        return JSONResponse({}, 202)

    async def _mail(self, request: Request) -> Response:
        self.mails.append(await request.json())
        return JSONResponse({}, 202)

    async def _model(self, request: Request) -> Response:
        """OpenAI's chat protocol, streamed."""
        self.prompts.append(await request.json())
        choices = [
            {"index": 0, "delta": {"role": "assistant", "content": self.draft}, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        lines = [f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n" for choice in choices]
        return StreamingResponse(iter([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream")


@asynccontextmanager
async def outside_served() -> AsyncIterator[Outside]:
    outside = Outside()
    async with served(outside.app()) as url:
        outside.url = url
        yield outside
