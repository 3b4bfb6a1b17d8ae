"""Runs of the cluster demo: each is started at one node, followed through the next, its history read at the third."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
from apis import BOXES, AgentsApi, Api, EventsApi, LlamaApi, RunsApi, Started
from nodes import NODES, Cluster
from stage import DemoError, wait_for

AT_ONCE = 16


class Run(NamedTuple):
    """A run that packs a parcel; parcels are counted from 0."""

    parcel: int
    run_id: str
    path: str
    api: Api


class Runs:
    """Parcel by parcel at the next node and through the next API, so that all pairs of them come equally often."""

    def __init__(self, cluster: Cluster, client: httpx.Client) -> None:
        self._cluster = cluster
        self._client = client
        self._events = EventsApi()
        self.apis: list[Api] = [RunsApi(), AgentsApi(), LlamaApi(), self._events]
        for number, api in enumerate(self.apis):
            api.prepare(client, cluster.url(number))

    def start(self, parcels: range) -> list[Run]:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            started = dict(zip(parcels, threads.map(self._start_one, parcels), strict=True))
        wait_for(lambda: self._add_those_of_events(started), "the runs that events start")
        return [Run(parcel, *one, self._api(parcel)) for parcel, one in started.items() if one]

    def follow(self, run: Run) -> None:
        """To its end, which must be as it should be."""
        wait_for(lambda: self.has_ended(run), f"the end of run {run.run_id}")

    def has_ended(self, run: Run, *, lost: int | None = None) -> bool:
        """As a node says that it was not started at and that is not lost. Raises `DemoError` if it has failed, or has
        another output than it should.
        """
        at = next(number for number in (run.parcel + 1, run.parcel + 2) if number % NODES != lost)
        answer = self._asked(at, run.path)
        output = None if answer is None else run.api.output(answer)
        if output not in (None, {"parcel": run.parcel, "boxes": BOXES}):
            raise DemoError(f"run {run.run_id}: expected {BOXES} boxes of parcel {run.parcel}, found {output}")
        return output is not None

    def history(self, run: Run) -> Any:
        """Its events, oldest first."""
        path = f"/api/v1/remote/runs/{run.run_id}/history"
        answer = wait_for(lambda: self._asked(run.parcel + 2, path), f"the history of run {run.run_id}")
        return answer.raise_for_status().json()["events"]

    def list_all(self) -> Any:
        """A row for each run that there is."""
        answer = wait_for(lambda: self._asked(0, "/api/v1/remote/runs?limit=1000"), "the list of all runs")
        return answer.raise_for_status().json()

    def _api(self, parcel: int) -> Api:
        return self.apis[parcel % len(self.apis)]

    def _start_one(self, parcel: int) -> Started | None:
        return self._api(parcel).start(self._client, self._cluster.url(parcel), parcel)

    def _add_those_of_events(self, started: dict[int, Started | None]) -> bool:
        """Whether all runs are known now."""
        for parcel, one in self._events.found(self._client, self._cluster.url(0)).items():
            if parcel in started:
                started[parcel] = one
        return all(started.values())

    def _asked(self, number: int, path: str) -> httpx.Response | None:
        """A node's answer; None where it cannot say now: it may just have started, or woken up."""
        try:
            answer = self._client.get(f"{self._cluster.url(number)}{path}")
        except httpx.TransportError:
            return None
        return None if answer.status_code == 503 else answer
