"""The agents door as one object: its paths, its shapes, who is let in. Its operations are declared on it, by file."""

from typing import Final

from stepwell.doors.agents.envelope import render
from stepwell.doors.agents.errors import ERRORS, Failure
from stepwell.doors.kit import Api
from stepwell.programs.callbacks import PATH as CALLBACKS
from stepwell.security.authentication import DoorRules

PREFIXES: Final = (
    "/api/v1/workflows",
    "/api/v1/workflow-templates",
    "/api/v1/approvals",
    "/api/v1/webhooks",
    "/api/v1/workflow-callbacks",
)

api: Final = Api(
    "agents",
    title="Runs of published templates, with approvals, callbacks and webhooks",
    prefixes=PREFIXES,
    errors=ERRORS,
    error_type=Failure,
    render=render,
    rules=DoorRules(
        sources=("x-api-key", "api-key", "authorization"),
        streams=lambda path: path.endswith("/stream"),
        is_open=lambda path: f"{path}/".startswith(CALLBACKS),  # the token is the credential
    ),
)
