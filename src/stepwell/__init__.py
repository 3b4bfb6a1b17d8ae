"""Stepwell: a durable workflow engine and server.

The names are imported when they are first used: `stepwell --help` and `stepwell settings` need no engine (0.3 s).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepwell.app import App
    from stepwell.core.errors import StepFailure
    from stepwell.core.program import RunContext, StepContext
    from stepwell.core.retry import RetryPolicy

__all__ = ["App", "RetryPolicy", "RunContext", "StepContext", "StepFailure"]

_HOMES = {
    "App": "stepwell.app",
    "RetryPolicy": "stepwell.core.retry",
    "RunContext": "stepwell.core.program",
    "StepContext": "stepwell.core.program",
    "StepFailure": "stepwell.core.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
