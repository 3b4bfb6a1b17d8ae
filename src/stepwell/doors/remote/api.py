"""The remote door as one object. It speaks the engine's own words: rows, events and commands as they are kept."""

from typing import Final

from stepwell.doors.kit import Api
from stepwell.doors.problem import MEDIA_TYPE, PROBLEMS, ProblemBody

PATH: Final = "/api/v1/remote"

api: Final = Api(
    "remote",
    title="Runs, approvals and schedules of every API in one place: what the command line speaks with --url",
    prefixes=[PATH],
    errors=PROBLEMS,
    error_type=ProblemBody,
    error_media_type=MEDIA_TYPE,
)
