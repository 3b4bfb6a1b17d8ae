"""Metrics for Prometheus. Every value is read when somebody asks; nothing is counted a second time."""

from collections.abc import Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwell.core.errors import StorageError
from stepwell.doors.operations.probes import active_runs
from stepwell.engine import Engine
from stepwell.engine.meters import Histogram, Meters
from stepwell.programs.flow.expressions.filter_faults import FILTER_FAULTS
from stepwell.store.model import CountQuery

Totals = Mapping[tuple[str, str], int]
"""(workflow, status) to number of runs."""
Sent = Mapping[tuple[str, str], Mapping[str, int]]
"""(type, name) of a broker to number of messages by what became of them."""


async def exposition(engine: Engine, accept: str, *, sent: Sent, owner: str | None) -> tuple[bytes, str]:
    """The body and its media type. When the store fails, what is in memory is still given.

    Runs are those of `owner` (None: all); what the process does is nobody's secret.
    """
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Engine(engine))
    registry.register(_Meters(engine.meters))
    registry.register(_Brokers(sent))
    try:
        registry.register(_Runs(await engine.count_runs(CountQuery(owner=owner))))
        waiting = await engine.store.waiting_endpoints()
        registry.register(
            _Gauge("stepwell_webhook_endpoints_waiting", "Endpoints with webhooks to be sent", len(waiting))
        )
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


class _Brokers(Collector):
    """What brokers said of messages."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent

    def collect(self) -> Iterable[Metric]:
        labels = ("type", "broker", "outcome")
        family = CounterMetricFamily("stepwell_broker_messages", "Messages that brokers settled", labels=labels)
        for (type, name), outcomes in self._sent.items():
            for outcome, number in outcomes.items():
                family.add_metric((type, name, outcome), number)
        yield family


class _Meters(Collector):
    """What the process has counted since it began."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterable[Metric]:
        meters = self._meters
        yield _counts("stepwell_run_events", "Runs created, and by how they ended", "event", meters.runs)
        yield _counts("stepwell_steps", "Steps by how they ended; failed attempts too", "outcome", meters.steps)
        yield _counts("stepwell_run_failures", "Failed runs by the kind of their error", "cause", meters.causes)
        yield CounterMetricFamily("stepwell_stream_items", "Items put on streams of runs", value=meters.items)
        yield _histogram("stepwell_step_seconds", "From a step's scheduling to its completion", meters.step_s)
        yield _histogram("stepwell_commit_seconds", "How long a transaction takes", meters.commit_s)
        yield _histogram("stepwell_commit_batches", "Runs that share a transaction", meters.commit_batches)


def _counts(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=(label,))
    for what, number in counts.items():
        family.add_metric((what,), number)
    return family


def _histogram(name: str, meaning: str, histogram: Histogram) -> Metric:
    """Buckets are summed up in the exposition (Prometheus, "Histograms and summaries")."""
    bounds = (*(f"{bound:g}" for bound in histogram.bounds), "+Inf")
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=histogram.sum)
