"""Templates: the documents of the agents API, read into plans."""

from stepwell.programs.plan.templates.reading import read_template

KIND = "template"

__all__ = ["KIND", "read_template"]
