"""Stepwell: flows of one and of ten steps. `python stepwell_peer.py FOLDER AT_ONCE SINGLES`, or the URL of a database
of PostgreSQL in place of the folder, and after the numbers those of others over which runs are spread.
"""

import sys
from pathlib import Path

import uvloop

from bench.house import open_engine
from bench.rivals.clock import measure


async def main(place: str, at_once: int, singles: int, *more: str) -> None:
    async with open_engine(place if "://" in place else Path(place) / "stepwell.db", more=more) as engine:

        async def run(steps: int) -> object:
            return await engine.run("one" if steps == 1 else "ten")

        await measure(run, at_once=at_once, singles=singles)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
