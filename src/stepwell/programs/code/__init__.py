"""Hosts unmodified `workflows.Workflow` objects (PyPI `llama-index-workflows`) as durable runs."""

from stepwell.programs.code.programs import CodePrograms, is_workflow

__all__ = ["CodePrograms", "is_workflow"]
