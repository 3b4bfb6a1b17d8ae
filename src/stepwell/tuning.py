"""How a process that serves sets the interpreter up. Programs of one's own may do the same: `tune_interpreter()`."""

import gc
import sys
from typing import Final

COLLECT_ABOVE: Final = 200_000
"""Objects that the garbage collector lets come together: a thousand runs in flight are 80,000 to it."""
SWITCH_S: Final = 0.000_1
"""How long the loop's thread computes on while another one waits for the interpreter."""


def tune_interpreter() -> None:
    """Fit the garbage collector and the change of threads to a server. To be called once all is imported.

    A server holds many long-lived records (runs in memory) and makes many short-lived ones per step. With Python's
    defaults (700, 10, 10) the collector walks all of the former again and again for the sake of the latter, which
    free themselves: nearly nothing of ours is cyclic. What was imported is never garbage: it is frozen.

    The threads that write and read the database need the interpreter for an instant between two calls of SQLite;
    with Python's default they wait 5 ms for it each time while the loop computes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_ABOVE, 20, 50)
    sys.setswitchinterval(SWITCH_S)
