"""Lets the tests of plans import from `tests/` and from each other."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]
