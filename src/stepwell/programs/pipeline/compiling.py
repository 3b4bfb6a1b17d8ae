"""Compiles a pipeline document. All of it is checked before anything runs, and all faults are found at once.

Two dialects: a stage with `stage` emits only when it says so, one with `name` alone emits unless it says otherwise.
Unknown members are ignored, as clients of the language expect.
"""

import re
from typing import Any, Final

from stepwell.programs.flow.source import Source
from stepwell.programs.pipeline.destinations import Destination, MessageType
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.faults import Faults
from stepwell.programs.pipeline.model import Pipeline, Stage
from stepwell.programs.pipeline.schemas import MEMBER, Schemas
from stepwell.programs.pipeline.stages import StageCompiler, compile_state
from stepwell.programs.pipeline.strings import shown
from stepwell.programs.pipeline.values import Assign

MAX_EXECUTIONS: Final = 10_000_000
MAX_CONCURRENCY: Final = 5_000
DEFAULT_CONCURRENCY: Final = 100
"""Of executions that wait; those that only send are under way as many at once as may be."""
_MESSAGE_TYPES: Final[dict[str, MessageType]] = {"kafka": "kafka", "rabbit": "rabbit"}
_CONTENT_TYPES: Final = {
    "application/json": False,
    "json": False,
    "application/x-protobuf": True,
    "protobuf": True,
}
_ROOTS_READ: Final = re.compile(r"lastAppendedEvent|outputEvents|stages|meta\.last(?:Send|WireFormat)|meta(?!\.)")


def compile_pipeline(source: Source) -> Pipeline:
    """Raises `InvalidDefinitionError` with all faults, in document order."""
    return _Compiler(source).compile()


class _Compiler:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._faults = Faults(source)

    def compile(self) -> Pipeline:
        document = self._source.value
        if not isinstance(document, dict):
            self._faults.add("", f"workflow must be an object (got {shown(document)})")
            self._faults.check()
        id = self._required(document, "id")
        destination = self._destination(document)
        protobuf = self._protobuf(document)
        executions = self._count(document, "executions", 1, MAX_EXECUTIONS)
        state = self._state(document)
        stages = self._stages(document, destination, protobuf=protobuf)
        pipeline = Pipeline(
            id=id,
            destination=destination,
            executions=executions,
            seed=self._seed(document),
            rate=self._rate(document),
            concurrency=self._concurrency(document, stages),
            waits_for_broker=self._waits_for_broker(document),
            state=state,
            stages=stages,
            reads=_roots_read(document),
            document=document,
        )
        self._faults.check()
        return pipeline

    # --- the top level --------------------------------------------------------------------------------------------

    def _required(self, document: dict[str, Any], name: str) -> str:
        value = self._text(document, name)
        if value is None:
            self._faults.add(f"/{name}", f"{name} must not be blank")
        return value or ""

    def _text(self, document: dict[str, Any], name: str) -> str | None:
        """A text, trimmed; blank counts as absent."""
        value = document.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self._faults.add(f"/{name}", f"{name} must be a text (got {shown(value)})")
            return None
        return value.strip() or None

    def _destination(self, document: dict[str, Any]) -> Destination:
        given = document.get("messageType")
        kind: MessageType = "kafka"
        if given is not None and not (isinstance(given, str) and given.strip()):
            self._faults.add("/messageType", "Workflow messageType must not be blank")
        elif given is not None:
            known = _MESSAGE_TYPES.get(given.strip().lower())
            if known is None:
                self._faults.add("/messageType", f"Unsupported workflow messageType: {given}")
            kind = known or kind
        return Destination(
            type=kind,
            producer=self._required(document, "producerName"),
            topic=self._text(document, "topic"),
            exchange=self._text(document, "exchange"),
            routing_key=self._text(document, "routingKey"),
        )

    def _protobuf(self, document: dict[str, Any]) -> bool:
        given = document.get("contentType")
        if given is None:
            return False
        known = _CONTENT_TYPES.get(given.strip().lower()) if isinstance(given, str) else None
        if known is None:
            text = given if isinstance(given, str) else shown(given)
            self._faults.add("/contentType", f"Unsupported workflow contentType: {text}")
        return bool(known)

    def _count(self, document: dict[str, Any], name: str, default: int, most: int) -> int:
        value = document.get(name)
        if value is None:
            return default
        if type(value) is not int:
            self._faults.add(f"/{name}", f"{name} must be a whole number (got {shown(value)})")
        elif value <= 0:
            self._faults.add(f"/{name}", f"{name} must be > 0")
        elif value > most:
            self._faults.add(f"/{name}", f"{name} must be <= {most}")
        else:
            return value
        return default

    def _concurrency(self, document: dict[str, Any], stages: tuple[Stage, ...]) -> int:
        waits = any(stage.wait_s or stage.query or stage.expect for stage in stages)
        return self._count(
            document, "concurrency", DEFAULT_CONCURRENCY if waits else MAX_CONCURRENCY, MAX_CONCURRENCY
        )

    def _seed(self, document: dict[str, Any]) -> str | None:
        value = document.get("seed")
        if value is None or isinstance(value, str):
            return value
        if type(value) is int:
            return str(value)
        self._faults.add("/seed", f"seed must be a text or a whole number (got {shown(value)})")
        return None

    def _rate(self, document: dict[str, Any]) -> float | None:
        value = document.get("rate")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1_000_000:
            self._faults.add("/rate", f"rate must be a number of messages per second > 0 (got {shown(value)})")
            return None
        return float(value)

    def _waits_for_broker(self, document: dict[str, Any]) -> bool:
        value = document.get("onBrokerDown")
        if value not in (None, "fail", "wait"):
            self._faults.add("/onBrokerDown", f"onBrokerDown must be fail or wait (got {shown(value)})")
        return value == "wait"

    def _state(self, document: dict[str, Any]) -> tuple[Assign, ...]:
        given = document.get("state")
        if given is None:
            return ()
        if not isinstance(given, dict):
            self._faults.add("/state", f"state must be an object (got {shown(given)})")
            return ()
        return compile_state(given, "/state", "state", self._faults)

    def _stages(self, document: dict[str, Any], destination: Destination, *, protobuf: bool) -> tuple[Stage, ...]:
        given = document.get("pipeline")
        if not given:
            self._faults.add("/pipeline", "pipeline must not be empty")
            return ()
        if not isinstance(given, list):
            self._faults.add("/pipeline", f"pipeline must be an array of stages (got {shown(given)})")
            return ()
        schemas = Schemas()
        with self._faults.at(f"/{MEMBER}"):
            schemas = Schemas(document.get(MEMBER))
        schema = self._text(document, "schemaId")
        compiler = StageCompiler(self._faults, destination, schemas, protobuf=protobuf, schema=schema)
        stages = [compiler.compile(stage, number) for number, stage in enumerate(given, 1)]
        return tuple(stage for stage in stages if stage is not None)


def _roots_read(document: Any) -> frozenset[str]:
    """What the text of a pipeline names, which may be more than it reads. `previous-stage` reads the last event."""
    text = JSON.encode(document).decode()
    named = frozenset(_ROOTS_READ.findall(text))
    return named | {"lastAppendedEvent"} if "previous-stage" in text else named
