"""Metrics for Prometheus. Every value is read when somebody asks; nothing is counted a second time."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwell.core.errors import StorageError
from stepwell.doors.operations.probes import active_runs
from stepwell.engine import Engine
from stepwell.programs.flow.expressions.filter_faults import FILTER_FAULTS
from stepwell.store.port import CountQuery

Totals = Mapping[tuple[str, str], int]
"""(workflow, status) to number of runs."""


async def exposition(engine: Engine, accept: str, *, owner: str | None) -> tuple[bytes, str]:
    """The body and its media type. When the store fails, what is in memory is still given.

    Runs are those of `owner` (None: all); what the process does is nobody's secret.
    """
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Engine(engine))
    try:
        registry.register(_Runs(await engine.count_runs(CountQuery(owner=owner))))
        up = 1
    except StorageError:
        up = 0
    registry.register(_Gauge("stepwell_store_up", "Whether the store could be read", up))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Gauge(Collector):
    def __init__(self, name: str, meaning: str, value: float) -> None:
        self._metric = GaugeMetricFamily(name, meaning, value=value)

    def collect(self) -> Iterable[Metric]:
        yield self._metric


class _Runs(Collector):
    """Runs on record by workflow and status."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        runs = GaugeMetricFamily("stepwell_runs", "Runs on record", labels=("workflow", "status"))
        for (workflow, status), number in self._totals.items():
            runs.add_metric((workflow, status), number)
        yield runs


class _Engine(Collector):
    """What this process does. Batches divided by groups is the mean size of a group commit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        committer = self._engine.committer
        yield CounterMetricFamily("stepwell_commit_groups", "Transactions that wrote runs", value=committer.groups)
        yield CounterMetricFamily(
            "stepwell_commits", "Batches of runs in those transactions", value=committer.batches
        )
        yield GaugeMetricFamily("stepwell_active_runs", "Runs driven in memory now", value=active_runs(self._engine))
        yield GaugeMetricFamily("stepwell_driving", "Whether this process drives runs", value=self._engine.driving)
        watched = len(self._engine.watchers.channels)
        yield GaugeMetricFamily("stepwell_watched_runs", "Runs that somebody watches now", value=watched)
        faults = FILTER_FAULTS.count
        yield CounterMetricFamily("stepwell_filter_faults", "Event filters that failed on an event", value=faults)
