"""`/health`, `/ready` and `/metrics`: for load balancers, orchestrators and Prometheus."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stepwell.core.status import TERMINAL
from stepwell.doors.guards import PROBES
from stepwell.doors.kit import Answer, Api, Operation
from stepwell.doors.kit.operations import Endpoint
from stepwell.doors.kit.seeing import is_here, storage_text
from stepwell.doors.operations.metrics import exposition
from stepwell.doors.operations.openapi import all_doors, one_door, page
from stepwell.doors.operations.probes import active_runs, store_fault
from stepwell.doors.problem import MEDIA_TYPE, PROBLEMS, ProblemBody
from stepwell.engine import Engine
from stepwell.security.authentication import DoorRules
from stepwell.security.middleware import principal_of
from stepwell.store.model import CountQuery

ALIVE: Final = b'{"status": "healthy"}'
"""Exactly this, for every client of one of our APIs that compares it."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process lives."""

    status: Literal["healthy"]


class Ready(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the server works with; `reason` says why it is not ready. Of the `database` others than this machine are
    told the kind only.
    """

    status: Literal["ready", "not_ready"]
    database: str
    driving: bool
    reason: str = ""
    active_runs: int = 0
    open_runs: int = 0


async def health(_request: Request) -> Response:
    """The process answers: nothing more is said."""
    return Response(ALIVE, media_type="application/json")


async def ready(request: Request) -> Response:
    """Whether requests can be served now; 503 with the reason when not."""
    engine: Engine = request.app.state.engine
    fault = await store_fault(engine)
    principal, database = principal_of(request), request.app.state.database
    shown = database if is_here(principal) else database.partition(":")[0]
    found: dict[str, Any] = {"status": "ready", "database": shown, "driving": engine.driving}
    if fault is not None:
        reason = storage_text(fault, principal)
        return JSONResponse({**found, "status": "not_ready", "reason": reason}, 503, {"Retry-After": "1"})
    return JSONResponse({**found, "active_runs": active_runs(engine), "open_runs": await _open_runs(request)})


async def _open_runs(request: Request) -> int:
    """Those that the principal may see."""
    engine: Engine = request.app.state.engine
    counts = await engine.count_runs(CountQuery(owner=principal_of(request).sees))
    return sum(number for (_, status), number in counts.items() if status not in TERMINAL)


async def metrics(request: Request) -> Response:
    """The text format of Prometheus, or OpenMetrics when that is asked for."""
    accept, sees = request.headers.get("accept", ""), principal_of(request).sees
    state = request.app.state
    body, media_type = await exposition(state.engine, accept, sent=state.brokers.counts, owner=sees)
    return Response(body, media_type=media_type)


api: Final = Api(
    "operations",
    title="Is the server alive, can it work, what does it do, what does it understand",
    prefixes=["/ready", "/metrics", "/openapi", "/openapi.json", "/docs"],
    errors=PROBLEMS,
    error_type=ProblemBody,
    error_media_type=MEDIA_TYPE,
    rules=DoorRules(is_open=PROBES.__contains__),
)


def _declare(path: str, endpoint: Endpoint, summary: str, answers: Mapping[int, Answer]) -> None:
    name = path.strip("/").replace("/", "_").replace(".", "_").replace("{", "").replace("}", "")
    api.add(Operation(name=name, method="GET", path=path, endpoint=endpoint, summary=summary, answers=answers))


for _path in PROBES:
    _declare(_path, health, "Whether the process answers", {200: Answer(type=Health)})
_declare("/ready", ready, "Whether requests can be served now", {200: Answer(type=Ready), 503: Answer(type=Ready)})
_declare("/metrics", metrics, "Metrics for Prometheus", {200: Answer(media_type="text/plain")})
_declare("/openapi.json", all_doors, "What every door understands", {200: Answer(type=dict[str, Any])})
_declare("/openapi/{door}.json", one_door, "What one door understands", {200: Answer(type=dict[str, Any])})
_declare("/docs", page, "The same as a page", {200: Answer(media_type="text/html")})

routes: Final = api.routes
