"""`/health`, `/ready` and `/metrics`: for load balancers, orchestrators and Prometheus."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stepwell.core.status import TERMINAL
from stepwell.doors.operations.metrics import exposition
from stepwell.doors.operations.probes import active_runs, store_fault
from stepwell.engine import Engine

ALIVE: Final = b'{"status": "healthy"}'
"""Exactly this, for every client of one of our APIs that compares it."""


async def health(_request: Request) -> Response:
    """The process answers: nothing more is said."""
    return Response(ALIVE, media_type="application/json")


async def ready(request: Request) -> Response:
    """Whether requests can be served now; 503 with the reason when not."""
    engine: Engine = request.app.state.engine
    fault = await store_fault(engine)
    found: dict[str, Any] = {"status": "ready", "database": request.app.state.database, "driving": engine.driving}
    if fault is not None:
        return JSONResponse({**found, "status": "not_ready", "reason": str(fault)}, 503)
    return JSONResponse({**found, "active_runs": active_runs(engine), "open_runs": await _open_runs(engine)})


async def _open_runs(engine: Engine) -> int:
    counts = await engine.count_runs()
    return sum(number for (_, status), number in counts.items() if status not in TERMINAL)


async def metrics(request: Request) -> Response:
    """The text format of Prometheus, or OpenMetrics when that is asked for."""
    body, media_type = await exposition(request.app.state.engine, request.headers.get("accept", ""))
    return Response(body, media_type=media_type)


routes: Final = [
    Route("/health", health),
    Route("/llama/health", health),
    Route("/ready", ready),
    Route("/metrics", metrics),
]
