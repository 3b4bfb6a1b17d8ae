"""The devset door as one object: its paths, its shapes. Its operations are declared on it, by file."""

from typing import Final

from stepwell.doors.devset.errors import ERRORS
from stepwell.doors.devset.wire import Failure
from stepwell.doors.kit import Api

ENGINE: Final = ("/engine", "/api/engine")
CONNECTORS: Final = ("/connectors/configurations", "/api/connectors/configurations")
SOURCES: Final = "/api/db/connectors/configurations"
SCHEMAS: Final = "/api/schemas"
DOCUMENTS: Final = "/api/workflows"

api: Final = Api(
    "devset",
    title="Event pipelines to Kafka and RabbitMQ",
    prefixes=(*ENGINE, "/connectors", "/api/connectors", "/api/db/connectors", SCHEMAS, DOCUMENTS),
    errors=ERRORS,
    error_type=Failure,
)
