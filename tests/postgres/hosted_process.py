"""One node as a process that hosts a workflow class: `python -m postgres.hosted_process URL LOG [SECONDS]`."""

import asyncio
import sys
from pathlib import Path

from .hosted import app_on
from .node_process import serve

if __name__ == "__main__":
    asyncio.run(serve(app_on(*sys.argv[1:]), Path(sys.argv[2])))
