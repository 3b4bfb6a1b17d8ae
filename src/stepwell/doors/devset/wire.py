"""The shapes of the devset door."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

RunStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "STOPPING", "STOPPED"]
Limit = Annotated[int, Meta(ge=1, le=1000)]


class Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Names as this API writes them."""


class Mistake(Camel, frozen=True, kw_only=True):
    """One thing that is wrong with a document: JSON pointer, line (0 when there is none) and text."""

    path: str
    line: int
    message: str


class Submitted(Camel, frozen=True, kw_only=True):
    """A run that was accepted."""

    run_id: str
    status: Literal["PENDING"]
    executions: int


class Run(Camel, frozen=True, kw_only=True):
    """How a run stands."""

    run_id: str
    status: RunStatus
    active: bool
    requested_executions: int
    submitted_executions: int
    completed_executions: int
    failed_executions: int
    error_message: str | None


class Runs(Camel, frozen=True, kw_only=True):
    """The newest runs of both kinds, those that changed last first."""

    active: list[Run]
    completed: list[Run]


class Acknowledged(Camel, frozen=True, kw_only=True, omit_defaults=True):
    """What the broker acknowledged: Kafka's `topic`, `partition` and `offset`, or `confirmed` by RabbitMQ, which
    means that a queue has it.
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    exchange: str | None = None
    routing_key: str | None = None
    confirmed: bool | None = None


class Event(Camel, frozen=True, kw_only=True, omit_defaults=True):
    """A message. With `details` also its number in the execution, key, id, and what the broker acknowledged."""

    stage_name: str
    header: dict[str, Any]
    payload: Any
    n: int | None = None
    key: str | None = None
    message_id: str | None = None
    delivery: Acknowledged | None = None
    sent_at: str | None = None


class Group(Camel, frozen=True, kw_only=True):
    """The messages of one execution, counted from 1."""

    execution_index: int
    event_count: int
    events: list[Event]


class Failure(Camel, frozen=True, kw_only=True, omit_defaults=True):
    """Every failure. `message` is the first thing that is wrong; `errors` all of them; `executions` what a simulation
    came to before.
    """

    message: str
    errors: tuple[Mistake, ...] = ()
    executions: tuple[Group, ...] = ()


class Events(Camel, frozen=True, kw_only=True, omit_defaults=True):
    """The messages of a run by execution. `next` is the `since` of the page after this one, when there is more."""

    run_id: str
    status: RunStatus
    execution_count: int
    executions: list[Group]
    next: int | None = None


class RunsQuery(Camel, frozen=True, kw_only=True):
    """`before`: the id of the last run of the page before."""

    limit: Limit = 1000
    before: str | None = None


class EventsQuery(Camel, frozen=True, kw_only=True):
    """`since`: how many messages of the run are passed over."""

    since: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    details: bool = False


class SimulateQuery(Camel, frozen=True, kw_only=True):
    """How many executions are simulated, and whether a failure shows the messages before it."""

    executions: Annotated[int, Meta(ge=1)] = 1
    partial: bool = False


class NewConnector(Camel, frozen=True, kw_only=True):
    """A connection to Kafka (`bootstrapServers`) or to RabbitMQ (`host`, ...)."""

    type: str = ""
    name: str = ""
    bootstrap_servers: str | None = None
    host: str | None = None
    port: int = 5672
    virtual_host: str = "/"
    username: str | None = None
    password: str | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    tls: bool | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class Connector(Camel, frozen=True, kw_only=True):
    """A connection as it is shown: without its password."""

    type: str
    name: str
    endpoint: str
    producer_connected: bool
    consumer_connected: bool
    authenticated: bool


class NewSource(Camel, frozen=True, kw_only=True):
    """A data source for queries: `mongodb` (`connectionString`, `database`), `csv`, `jsonl` (`path`) or `sql`
    (`connectionString` of a SQLite file)."""

    type: str = ""
    name: str = ""
    connection_string: str | None = None
    path: str | None = None
    database: str | None = None
    username: str | None = None
    password: str | None = None


class Source(Camel, frozen=True, kw_only=True):
    """A data source as it is shown: without credentials."""

    type: str
    name: str
    endpoint: str
    database: str | None
    authenticated: bool


class NewSchema(Camel, frozen=True, kw_only=True):
    """A schema for messages: `protobuf` (text, or a base64 descriptor set) or `json`."""

    id: str = ""
    type: str = ""
    schema: str | None = None
    descriptors: str | None = None
    root: str = ""


class Schema(Camel, frozen=True, kw_only=True):
    """A schema as it is kept. `root` is the message that payloads become."""

    id: str
    type: str
    root: str
    schema: str | None
