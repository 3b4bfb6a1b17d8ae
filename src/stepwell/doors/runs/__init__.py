"""The runs door: blocking and streaming execution of workflows, their definitions, and human review.

Every answer says `success`; a refusal has `error` and `details`.
"""

from stepwell.doors.runs.routes import api

__all__ = ["api"]
