"""Worlds in which runs are told of: a receiver that answers as it is told, and an engine with webhooks."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from engine.harness import CrashAt, Crashed, Lab, Life, World
from engine.virtual_time import VirtualLoop
from stepwell.core.program import Program
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine
from stepwell.programs.http import HttpError, HttpRequest, HttpResponse
from stepwell.programs.native import NativePrograms
from stepwell.store.sqlite import SqliteStore
from stepwell.webhooks import Endpoint, Links, Webhooks, WebhookSettings

T = TypeVar("T")
HOOK = "https://hooks.example.com/in"
Programs = Mapping[str, Callable[[Lab], Program]]


class Got(msgspec.Struct, frozen=True):
    """A request as the receiver saw it."""

    url: str
    at: float
    id: str
    type: str
    data: Any
    headers: Mapping[str, str]
    content: bytes


class Receiver:
    """What is at the other end: every URL answers 200, or as told, in turn. It outlives the lives of a world."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock if clock is not None else lambda: asyncio.get_running_loop().time()
        self.got: list[Got] = []
        self.answers: dict[str, list[int | HttpResponse | HttpError]] = {}
        """URL to its next answers; the last one stays."""
        self.takes_s = 0.0
        self.at_once = 0
        self.most_at_once = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        assert request.content is not None
        body = json.loads(request.content)
        headers = dict(request.headers)
        self.got.append(
            Got(
                request.url,
                self._clock(),
                headers["webhook-id"],
                body["type"],
                body["data"],
                headers,
                request.content,
            )
        )
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if self.takes_s:
                await asyncio.sleep(self.takes_s)
        finally:
            self.at_once -= 1
        answers = self.answers.get(request.url, [200])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, HttpError):
            raise answer
        return HttpResponse(status=answer) if isinstance(answer, int) else answer

    def types(self, run_id: str = "") -> list[str]:
        return [one.type for one in self.got if run_id in ("", one.data.get("run_id"))]


class HookedWorld(World):
    """A world whose engines send webhooks to `receiver`; jitter is left out."""

    receiver: Receiver
    settings = WebhookSettings(links=Links(base_url="https://engine.example.com"))

    def engine(self, store: SqliteStore, loop: VirtualLoop) -> Engine:
        native = NativePrograms()
        for name, program in self.programs.items():
            native.add(name, program(self.lab))
        webhooks = Webhooks(
            store, self.receiver, check_url=refuse_private, now=loop.now, settings=self.settings, chance=lambda: 0.5
        )
        return Engine(
            store=store, dispatch=LocalDispatch(), programs=[native], clock=loop, options=self.options,
            webhooks=webhooks,
        )  # fmt: skip


def refuse_private(url: str) -> None:
    """Stands for the egress guard."""
    if not url.startswith("https://") or "internal" in url:
        raise ValueError("this address may not be called")


def hooked(programs: Programs, **options: Any) -> HookedWorld:
    world = HookedWorld(programs, **options)
    world.receiver = Receiver()
    return world


def play(programs: Programs, scenario: Callable[[Life, Receiver], Awaitable[T]], **options: Any) -> T:
    """One life of a fresh world, and all invariants afterwards."""
    with hooked(programs, **options) as world:
        result = world.live(lambda life: scenario(life, world.receiver))
        world.check()
        return result


def crash(world: HookedWorld, scenario: Callable[[Life, Receiver], Awaitable[Any]], at: CrashAt) -> bool:
    """A life that ends at a write, if it comes so far; whether it crashed."""
    try:
        world.live(lambda life: scenario(life, world.receiver), crash=at)
    except Crashed:
        return True
    return False


def webhooks_of(engine: Engine) -> Webhooks:
    assert engine.webhooks is not None
    return engine.webhooks


async def subscribe(engine: Engine, *events: str, owner: str = "", url: str = HOOK, **more: Any) -> Endpoint:
    return await webhooks_of(engine).add(owner=owner, url=url, events=events or ("*",), **more)


async def delivered(engine: Engine) -> None:
    """Wait until nothing is pending any more."""
    while await engine.store.waiting_endpoints():  # noqa: ASYNC110  # what a client can see
        await asyncio.sleep(0.01)
