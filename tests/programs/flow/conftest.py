"""Flows run in the world of the engine's tests too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # where the package `engine` of the tests lies
