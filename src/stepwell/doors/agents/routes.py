"""All operations of the agents door: each file declares its own on `api` when it is imported."""

from types import ModuleType
from typing import Final

import stepwell.doors.agents.templates as templates
from stepwell.doors.agents.api import api

__all__ = ["api"]

FILES: Final[tuple[ModuleType, ...]] = (templates,)
"""Every file that declares operations."""
