"""A file of brokers, data sources and protobuf schemas, for those that are not to be configured through the API.

    kafka:
      - {name: local, bootstrap-servers: "localhost:9092", password: "${KAFKA_PASSWORD:}"}
    rabbit:
      - {name: local, host: localhost, port: 5672}
    databases:
      - {name: shop, type: csv, path: customers.csv}
    schemas:
      - {name: order, file: order.proto, root: Order}

The four lists may also stand under `devset.predefined-connections`. `${NAME}` is a variable of the environment, with
`${NAME:text}` one that has a default. Files of schemas lie beside this one, where their
paths are not absolute.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stepwell.brokers.options import BrokerOptions, KafkaOptions, RabbitOptions
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow.reading import read
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.schemas import Packed
from stepwell.settings import SettingsError
from stepwell.sources.port import SourceOptions

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Brokers by type and name, data sources and schemas by name."""

    brokers: dict[tuple[str, str], BrokerOptions] = {}
    sources: dict[str, SourceOptions] = {}
    schemas: dict[str, Packed] = {}


def read_connections(file: str, environ: Mapping[str, str] = os.environ) -> Connections:
    """Everything in the file; nothing without one. Raises `SettingsError` that says what is wrong, and where."""
    if not file:
        return Connections()
    lists = _lists(file)
    brokers: dict[tuple[str, str], BrokerOptions] = {}
    for type, options in (("kafka", KafkaOptions), ("rabbit", RabbitOptions)):
        for name, entry in _entries(file, lists, type, environ):
            place = f"{type}/{name}"
            brokers[type, name] = _checked(file, place, _converted(file, place, entry, options))
    sources = {
        name: _converted(file, f"databases/{name}", entry, SourceOptions)
        for name, entry in _entries(file, lists, "databases", environ)
    }
    schemas = {
        name: _schema(file, name, _converted(file, f"schemas/{name}", entry, _SchemaFile))
        for name, entry in _entries(file, lists, "schemas", environ)
    }
    return Connections(brokers=brokers, sources=sources, schemas=schemas)


class _SchemaFile(msgspec.Struct, frozen=True, kw_only=True):
    """`root` is the message that payloads become: the file's first without one."""

    file: str
    root: str = ""


def _schema(file: str, name: str, entry: _SchemaFile) -> Packed:
    from stepwell.programs.pipeline import protobuf  # here, since it needs an extra

    try:
        text = Path(file).parent.joinpath(entry.file).read_text(encoding="utf-8")
        return protobuf.packed(protobuf.compile_text(text), entry.root)
    except OSError as fault:
        raise SettingsError(f"connections: {file}: schemas/{name}: {entry.file}: {fault.strerror}") from None
    except (RuleError, UnicodeDecodeError) as fault:
        raise SettingsError(f"connections: {file}: schemas/{name}: {fault}") from None


def _lists(file: str) -> dict[str, Any]:
    try:
        found = read(Path(file).read_text(encoding="utf-8")).value
    except OSError as fault:
        raise SettingsError(f"connections: {file} cannot be read: {fault.strerror}") from None
    except (UnicodeDecodeError, InvalidDefinitionError) as fault:
        raise SettingsError(f"connections: {file}: {fault}") from None
    for name in ("devset", "predefined-connections"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict):
        raise SettingsError(f"connections: {file}: expected the lists kafka, rabbit, databases and schemas")
    unknown = sorted(set(found) - {"kafka", "rabbit", "databases", "schemas"})
    if unknown:
        raise SettingsError(
            f"connections: {file}: there is no list {unknown[0]!r} (kafka, rabbit, databases, schemas)"
        )
    return found


def _entries(
    file: str, lists: dict[str, Any], list_name: str, environ: Mapping[str, str]
) -> list[tuple[str, dict[str, Any]]]:
    given = lists.get(list_name) or []
    if not isinstance(given, list):
        raise SettingsError(f"connections: {file}: {list_name}: expected a list")
    found: list[tuple[str, dict[str, Any]]] = []
    for number, entry in enumerate(given):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
            raise SettingsError(f"connections: {file}: {list_name}/{number}: expected an object with a name")
        values = {key.replace("-", "_"): _resolved(file, value, environ) for key, value in entry.items()}
        found.append((values.pop("name"), values))
    return found


def _resolved(file: str, value: Any, environ: Mapping[str, str]) -> Any:
    """A text with the variables of the environment in their places."""
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        text = environ.get(found[1], found[2])
        if text is None:
            raise SettingsError(f"connections: {file}: the environment has no variable {found[1]}")
        return text

    return _VARIABLE.sub(variable, value)


def _converted(file: str, place: str, entry: dict[str, Any], kind: Any) -> Any:
    known = {field.name for field in msgspec.structs.fields(kind)}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise SettingsError(f"connections: {file}: {place}: there is no member {unknown[0]!r}")
    try:
        return msgspec.convert(entry, kind, strict=False)
    except msgspec.ValidationError as fault:
        raise SettingsError(f"connections: {file}: {place}: {fault}") from None


def _checked(file: str, place: str, options: BrokerOptions) -> BrokerOptions:
    try:
        options.check()
    except ValueError as fault:
        raise SettingsError(f"connections: {file}: {place}: {fault}") from None
    return options
