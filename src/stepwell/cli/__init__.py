"""The command line: a user of the engine like any door."""

from stepwell.cli.command import main

__all__ = ["main"]
