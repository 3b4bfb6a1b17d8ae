"""Connections to brokers and data sources: durable, shown without their passwords.

A connection leads wherever its maker says, into the server's own network too: only who may administer the server
makes and removes them (with nobody configured, whoever sits at the machine).
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import msgspec
from starlette.responses import Response

from stepwell.brokers.options import BROKER, BrokerOptions, KafkaOptions, RabbitOptions, read_options
from stepwell.doors.devset.api import CONNECTORS, SOURCES, api
from stepwell.doors.devset.counting import ACTIVE
from stepwell.doors.devset.errors import NameMissingError
from stepwell.doors.devset.wire import Connector, NewConnector, NewSource, Source
from stepwell.doors.kit import Answer, Call, Reply
from stepwell.programs.pipeline.faults import RuleError
from stepwell.security.refusals import AccessError, Reason
from stepwell.sources.port import SOURCE, SourceOptions
from stepwell.store.model import Record, RunQuery

_SHOWN: Final = {
    "kafka": "Kafka",
    "rabbit": "RabbitMQ",
    "mongodb": "MongoDB",
    "csv": "CSV",
    "jsonl": "JSONL",
    "sql": "SQL",
}


class Fixed(Protocol):
    """The connections of the operator's file, which are shown here and changed there."""

    @property
    def brokers(self) -> Mapping[tuple[str, str], BrokerOptions]: ...
    @property
    def sources(self) -> Mapping[str, SourceOptions]: ...


for path in CONNECTORS:

    @api.get(
        path, summary="List connectors", answers={200: Answer(type=list[Connector], meaning="by name, no passwords")}
    )
    async def list_connectors(call: Call) -> Reply:
        records = await call.engine.store.get_records(BROKER, limit=10_000)
        known = {record.id: read_options(record.id, record.data) for record in records}
        known |= {f"{type}/{name}": options for (type, name), options in _fixed(call).brokers.items()}
        found = [_connector(call, id, options) for id, options in known.items()]
        return Reply(body=sorted(found, key=lambda connector: (connector.name, connector.type)))

    @api.post(
        path,
        summary="Configure a connector",
        answers={200: Answer(meaning="it is kept; one of the same name is replaced")},
        fails={400: "it is wrong, or in use"},
    )
    async def put_connector(call: Call, body: NewConnector) -> Response:
        """Nothing is connected before the first message."""
        _check_admin(call)
        type, name = _named(body.type, body.name, ("kafka", "rabbit"))
        data = {"options": msgspec.to_builtins(_options(type, body))}
        await _replace(call, BROKER, type, name, data)
        return Response()

    @api.delete(
        f"{path}/{{type}}/{{name}}",
        summary="Remove a connector",
        answers={200: Answer(meaning="it is gone")},
        fails={400: "active runs use it", 404: "there is none"},
    )
    async def delete_connector(call: Call) -> Response:
        _check_admin(call)
        await _remove(call, BROKER)
        return Response()


@api.get(SOURCES, summary="List data sources", answers={200: Answer(type=list[Source], meaning="by name")})
async def list_sources(call: Call) -> Reply:
    records = await call.engine.store.get_records(SOURCE, limit=10_000)
    known = {
        record.id.partition("/")[2]: msgspec.convert(record.data["options"], SourceOptions) for record in records
    }
    found = [_source(name, options) for name, options in {**known, **_fixed(call).sources}.items()]
    return Reply(body=sorted(found, key=lambda source: source.name))


@api.post(
    SOURCES,
    summary="Configure a data source",
    answers={200: Answer(meaning="it is kept; one of the same name is replaced")},
    fails={400: "it is wrong"},
)
async def put_source(call: Call, body: NewSource) -> Response:
    _check_admin(call)
    type, name = _named(body.type, body.name, ("mongodb", "csv", "jsonl", "sql"))
    options = _source_options(type, body)
    await _replace(call, SOURCE, type, name, {"options": msgspec.to_builtins(options)})
    return Response()


@api.delete(
    f"{SOURCES}/{{type}}/{{name}}",
    summary="Remove a data source",
    answers={200: Answer(meaning="it is gone")},
    fails={404: "there is none"},
)
async def delete_source(call: Call) -> Response:
    _check_admin(call)
    await _remove(call, SOURCE)
    return Response()


def _check_admin(call: Call) -> None:
    if not call.principal.may("admin"):
        raise AccessError(Reason.INSUFFICIENT_SCOPE, "connections are made and removed with the scope admin")


def _named(type: str, name: str, types: tuple[str, ...]) -> tuple[str, str]:
    kind = type.strip().lower()
    if not kind:
        raise RuleError("Connection type must not be blank")
    if kind not in types:
        raise RuleError(f"Unsupported connection type: {type} (it must be {', '.join(types)})")
    if not name.strip():
        raise RuleError("Connection name must not be blank")
    return kind, name.strip()


def _options(type: str, body: NewConnector) -> BrokerOptions:
    """Raises `RuleError`."""
    options = _broker_options(type, body)
    try:
        options.check()
    except ValueError as fault:
        raise RuleError(str(fault)) from None
    return options


def _broker_options(type: str, body: NewConnector) -> BrokerOptions:
    """Raises `RuleError`."""
    shared: dict[str, Any] = {
        "username": body.username,
        "password": body.password,
        "ca_file": body.ca_file,
        "certificate_file": body.certificate_file,
        "key_file": body.key_file,
    }
    if type == "kafka":
        if not (body.bootstrap_servers or "").strip():
            raise RuleError("Kafka bootstrapServers must not be blank")
        servers = (body.bootstrap_servers or "").strip()
        return KafkaOptions(bootstrap_servers=servers, mechanism=body.mechanism, tls=body.tls, **shared)
    if not (body.host or "").strip():
        raise RuleError("RabbitMQ host must not be blank")
    if not 0 < body.port < 65_536:
        raise RuleError("RabbitMQ port must be > 0")
    host = (body.host or "").strip()
    return RabbitOptions(
        host=host, port=body.port, virtual_host=body.virtual_host or "/", tls=bool(body.tls), **shared
    )


def _source_options(type: str, body: NewSource) -> SourceOptions:
    if type in ("csv", "jsonl") and not body.path:
        raise RuleError("path must not be blank")
    if type in ("mongodb", "sql") and not body.connection_string:
        raise RuleError("connectionString must not be blank")
    if type == "mongodb" and not body.database:
        raise RuleError("database must not be blank")
    return SourceOptions(
        type=cast(Any, type),
        path=body.path or "",
        connection_string=body.connection_string or "",
        database=body.database or "",
        username=body.username,
        password=body.password,
    )


async def _replace(call: Call, kind: str, type: str, name: str, data: dict[str, Any]) -> None:
    """Keep it; the same again changes nothing. Raises `RuleError` when active runs use what it would replace."""
    _check_not_fixed(call, kind, type, name)
    id = f"{type}/{name}"
    known = await call.engine.store.get_records(kind, id=id)
    if known and known[0].data == data:
        return
    if known and kind == BROKER:
        await _check_unused(call, type, name, "overwrite")
    await call.engine.store.put_record(Record(kind=kind, id=id, data=data))


async def _remove(call: Call, kind: str) -> None:
    type, name = call.path("type").lower(), call.path("name")
    _check_not_fixed(call, kind, type, name)
    if not await call.engine.store.get_records(kind, id=f"{type}/{name}"):
        raise NameMissingError(f"{_SHOWN.get(type, type)} connector not found: {name}")
    if kind == BROKER:
        await _check_unused(call, type, name, "remove")
    await call.engine.store.drop_record(kind, f"{type}/{name}")


def _fixed(call: Call) -> Fixed:
    """The connections of the operator's file."""
    found: Fixed = call.request.app.state.connections
    return found


def _check_not_fixed(call: Call, kind: str, type: str, name: str) -> None:
    """Raises `RuleError` for what the operator's file says, which goes before what is kept here."""
    fixed = _fixed(call)
    if (type, name) in fixed.brokers if kind == BROKER else name in fixed.sources:
        raise RuleError(f"{_SHOWN.get(type, type)} connector is set in the server's file of connections: {name}")


async def _check_unused(call: Call, type: str, name: str, action: str) -> None:
    """Raises `RuleError` when a run that has not ended sends through it."""
    rows = await call.engine.list_runs(RunQuery(door="devset", statuses=ACTIVE, limit=1000))
    for row in rows:
        definition = await call.engine.store.find_definition(name=row.workflow, version=row.version)
        document = msgspec.json.decode(definition.text) if definition is not None else {}
        used_type = str(document.get("messageType") or "kafka").lower()
        if used_type == type and str(document.get("producerName", "")).strip() == name:
            raise RuleError(f"Cannot {action} {_SHOWN[type]} connector while active runs use it: {name}")


def _connector(call: Call, id: str, options: BrokerOptions) -> Connector:
    type, _, name = id.partition("/")
    if isinstance(options, KafkaOptions):
        endpoint = options.bootstrap_servers
    else:
        endpoint = f"{options.host}:{options.port}{options.virtual_host}"
    return Connector(
        type=type,
        name=name,
        endpoint=endpoint,
        producer_connected=call.request.app.state.brokers.connected(type, name),
        consumer_connected=False,
        authenticated=bool(options.username),
    )


def _source(name: str, options: SourceOptions) -> Source:
    place = options.path or options.connection_string
    scheme, at, rest = place.rpartition("@")
    return Source(
        type=options.type,
        name=name,
        endpoint=f"{scheme.partition('://')[0]}://{rest}" if at else place,
        database=options.database or None,
        authenticated=options.username is not None or bool(at),
    )
