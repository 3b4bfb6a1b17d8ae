"""Definitions: the documents of the runs API, read into plans."""

from stepwell.programs.plan.definitions.reading import read_definition

KIND = "definition"

__all__ = ["KIND", "read_definition"]
