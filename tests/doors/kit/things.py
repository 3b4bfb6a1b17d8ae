"""A small door of tests, on a real engine, without the guards."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
from msgspec import Meta
from starlette.applications import Starlette

from stepwell.core.principal import LOCAL, Principal
from stepwell.core.program import RunContext
from stepwell.dispatch.local import LocalDispatch
from stepwell.doors.kit import Answer, Api, Call, OffsetPage, Reply
from stepwell.doors.problem import MEDIA_TYPE, PROBLEMS, ProblemBody
from stepwell.doors.server import Opening, build
from stepwell.engine import Engine
from stepwell.engine.clock import SystemClock
from stepwell.programs.native import NativePrograms
from stepwell.store.sqlite import SqliteStore

from ..acting import acting_as

PATH = "/things"


class NewThing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A thing to be made."""

    name: str
    size: Annotated[int, Meta(ge=0)] = 0


class Thing(msgspec.Struct, kw_only=True):
    """A thing."""

    name: str
    number: int
    start_key: str | None = None


class ThingQuery(OffsetPage, frozen=True, kw_only=True):
    """Which things."""

    colour: tuple[str, ...] = ()


Make = Callable[[Call, NewThing], Awaitable[Reply]]


class Things:
    """The door, and what it was asked to make. `make` may be replaced."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.make: Make = self._make
        self.api = Api(
            "things",
            title="Things",
            prefixes=[PATH],
            errors=PROBLEMS,
            error_type=ProblemBody,
            error_media_type=MEDIA_TYPE,
        )
        self._declare()

    async def _make(self, call: Call, body: NewThing) -> Reply:
        self.made.append(body.name)
        thing = Thing(name=body.name, number=len(self.made), start_key=call.start_key)
        return Reply(body=thing, status=201, headers={"Location": f"{PATH}/{thing.number}"})

    def _declare(self) -> None:
        @self.api.post(PATH, summary="Make a thing", answers={201: Answer(type=Thing)}, fails={422: "no thing"})
        async def make_thing(call: Call, body: NewThing) -> Reply:
            """Makes it."""
            return await self.make(call, body)

        @self.api.get(PATH, summary="List things", answers={200: Answer(type=list[Thing])})
        async def list_things(_call: Call, query: ThingQuery) -> Reply:
            return Reply(body={"limit": query.limit, "start": query.start, "colour": query.colour})

        @self.api.get(f"{PATH}/{{id}}", summary="Get a thing", answers={200: Answer(type=Thing)})
        async def get_thing(call: Call) -> Reply:
            return Reply(body={"id": call.id("id", "thing")})

        @self.api.delete(f"{PATH}/{{id}}", summary="Drop a thing", answers={204: Answer()})
        async def drop_thing(_call: Call) -> Reply:
            return Reply(status=204)


async def nothing(_ctx: RunContext, _input: Any) -> None: ...


def engine_at(path: Path, **options: Any) -> Engine:
    """An engine that knows one program, `nothing`."""
    programs = NativePrograms()
    programs.add("nothing", nothing)
    store = SqliteStore(str(path / "things.db"))
    return Engine(store=store, dispatch=LocalDispatch(), programs=[programs], **options)


def opening_of(engine: Engine) -> Opening:
    @asynccontextmanager
    async def opening() -> AsyncIterator[Engine]:
        await engine.open()
        try:
            yield engine
        finally:
            await engine.close()

    return opening


def server_of(api: Api, engine: Engine, *, principal: Principal = LOCAL) -> Starlette:
    return build(opening=opening_of(engine), middleware=[acting_as(principal)], doors=[api])


@asynccontextmanager
async def serving(api: Api, path: Path, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server with this one door."""
    engine_options = {name: options.pop(name) for name in ("clock",) if name in options}
    async with client_of(server_of(api, engine_at(path, **engine_options), **options)) as client:
        yield client


@asynccontextmanager
async def client_of(
    app: Starlette, *, raising: bool = False, base_url: str = "http://test", timeout: float = 5.0
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application, whose lifespan runs meanwhile. `raising`: it raises what the application raises."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=raising, client=("127.0.0.1", 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=base_url, timeout=timeout) as client,
    ):
        yield client


class SetClock(SystemClock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s
