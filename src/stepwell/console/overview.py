"""The page that says how the server is doing: what has come and gone in the last hour, how long steps take, why runs
fail. Everything is read from the engine's own counters and totals.
"""

import time
from collections import Counter
from typing import Any, Final

import msgspec
from nicegui import ui
from starlette.requests import Request

from stepwell.console.frame import RESPONSE_S, LivePage
from stepwell.console.part import Part
from stepwell.console.runs import counts_of
from stepwell.core.status import TERMINAL, Status
from stepwell.engine.meters import Meters
from stepwell.store.model import CountQuery

ENDS: Final = ("completed", "failed", "cancelled")
QUANTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


class Overview(Part, component="elements/overview.js"):
    """Tiles and charts."""


class OverviewPage(LivePage):
    """Totals are those of the visitor's runs; what the process does is shown to who sees all runs."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, title="Overview", active="/console/overview")

    def build(self) -> None:
        self._overview = Overview(totals={}, server=None, shown=False)

    async def show(self) -> None:
        sees = self.visitor.sees
        totals = await self.visitor.desk.pulse.shared(
            ("totals", sees), lambda: self.engine.count_runs(CountQuery(owner=sees))
        )
        server = await self._server() if sees is None else None
        self._overview.fill(totals=totals_of(counts_of(totals, "")), server=server, shown=True)

    async def _server(self) -> dict[str, Any]:
        engine, desk = self.engine, self.visitor.desk
        nodes = await desk.pulse.shared("nodes", engine.nodes)
        return {
            "active": len(engine.drivers.active),
            "driving": engine.driving,
            "database": desk.database,
            "bytes": desk.storage_bytes(),
            "nodes": [
                {**msgspec.structs.asdict(node), "silent_s": round(node.silent_s)} for node in nodes
            ],  # whole seconds: what has not changed is not sent
            **meters_of(engine.meters, now=time.time()),
        }


def totals_of(counts: dict[str, int]) -> dict[str, int]:
    """Open, failed and all runs, and how many wait for their turn."""
    opened = sum(number for status, number in counts.items() if Status(status) not in TERMINAL)
    queued = counts.get("pending", 0) + counts.get("scheduled", 0)
    return {
        "all": sum(counts.values()),
        "open": opened,
        "queued": queued,
        **{end: counts.get(end, 0) for end in ENDS},
    }


def meters_of(meters: Meters, *, now: float) -> dict[str, Any]:
    """What the charts show of the counters. Minutes without any run are there, with nothing in them."""
    last = int(now // 60)
    minutes = [meters.minutes.get(minute, Counter[str]()) for minute in range(last - 59, last + 1)]
    return {
        "minute": last,
        "minutes": [{what: found[what] for what in ENDS if what in found} for found in minutes],
        "steps": meters.steps,
        "latency": {name: meters.step_s.quantile(share) for name, share in QUANTILES},
        "buckets": {"bounds": list(meters.step_s.bounds), "counts": list(meters.step_s.counts)},
        "commit": {name: meters.commit_s.quantile(share) for name, share in QUANTILES},
        "commits": meters.commit_s.total,
        "batch": meters.commit_batches.sum / meters.commit_batches.total if meters.commit_batches.total else 0,
        "causes": meters.causes.most_common(12),
    }


@ui.page("/overview", response_timeout=RESPONSE_S)
async def page(request: Request) -> None:
    """`/console/overview`"""
    await OverviewPage(request).open()
