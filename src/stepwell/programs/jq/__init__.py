"""Full jq in worker processes: the `Expressions` of flows for what Python does not evaluate itself."""

from stepwell.programs.jq.errors import JqClosedError, JqError, JqUnavailableError
from stepwell.programs.jq.limits import Limits
from stepwell.programs.jq.source import NOW
from stepwell.programs.jq.workers import JqWorkers

__all__ = ["NOW", "JqClosedError", "JqError", "JqUnavailableError", "JqWorkers", "Limits"]
