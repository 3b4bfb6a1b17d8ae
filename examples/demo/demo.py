"""`make demo`: real runs through every API of one server, on a database of its own.

Real processes, real HTTP, real SIGKILL. Ends with 0 when everything came out as it should, else says what did not.
Each part is a file of its own with a function `play`; they are played in this order, on one stage.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import executions
import orders
import pipelines
import reviews
import templates
from stage import DemoError, Stage

PARTS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("An order on the command line, killed half-way", orders.play),
    ("Templates, approvals, callbacks and webhooks: /api/v1/workflows", templates.play),
    ("Blocking and streaming execution: /api/v1/workflow-runs", executions.play),
    ("A LlamaIndex workflow asks a person: /workflows, /events, /handlers", reviews.play),
    ("Event pipelines to Kafka and RabbitMQ: /engine", pipelines.play),
)
"""The first part starts the server; the others use it."""


def main() -> int:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("STEPWELL_")}
    with tempfile.TemporaryDirectory(prefix="stepwell-demo-") as folder, ExitStack() as at_end:
        stage = Stage(Path(folder), at_end, environ)
        try:
            for title, play in PARTS:
                print(f"\n{title}\n{'-' * len(title)}", flush=True)
                play(stage)
            stage.stop()
        except DemoError as fault:
            print(f"\nthe demo failed: {fault}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
