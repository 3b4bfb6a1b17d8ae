"""All operations of the remote door: each file declares its own on `api` when it is imported."""

from types import ModuleType
from typing import Final

import stepwell.doors.remote.approvals as approvals
import stepwell.doors.remote.runs as runs
import stepwell.doors.remote.schedules as schedules
from stepwell.doors.remote.api import api

__all__ = ["api"]

FILES: Final[tuple[ModuleType, ...]] = (runs, approvals, schedules)
"""Every file that declares operations."""
