"""Runs one measurement in this process: `python -m bench.section NAME FOLDER SIZE`, its figures as JSON on stdout."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.size import SIZES


def main() -> None:
    name, folder, size = sys.argv[1:]
    measure: Any = import_module(f"bench.measures.{name}").measure
    figures = uvloop.run(measure(Path(folder), SIZES[size]))
    print(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()
