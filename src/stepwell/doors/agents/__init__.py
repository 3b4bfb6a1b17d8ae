"""The agents door: runs of published templates, with approvals, callbacks and webhooks.

Single objects are bare, lists are `{data, meta}`, errors stand in an envelope.
"""

from stepwell.doors.agents.routes import api

__all__ = ["api"]
