"""The runs door as one object: its paths, its shapes, who is let in. Its operations are declared on it, by file."""

from typing import Final

from stepwell.doors.kit import Api
from stepwell.doors.runs.errors import ERRORS
from stepwell.doors.runs.wire import Failure
from stepwell.security.authentication import DoorRules

RUNS: Final = "/api/v1/workflow-runs"
DEFINITIONS: Final = "/api/v1/workflow-definitions"
FORMS: Final = "/api/v1/user-forms"

api: Final = Api(
    "runs",
    title="Blocking and streaming execution of workflows",
    prefixes=(RUNS, DEFINITIONS, FORMS),
    errors=ERRORS,
    error_type=Failure,
    rules=DoorRules(
        sources=("cookie", "query", "authorization", "x-api-key"),
        takes_internal=True,
        streams=lambda path: path.endswith("/stream"),
    ),
)
