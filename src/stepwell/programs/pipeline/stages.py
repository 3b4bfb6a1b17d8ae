"""Compiles the stages of a pipeline."""

import re
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.pipeline import waits, wire
from stepwell.programs.pipeline.conditions import Condition, compile_condition
from stepwell.programs.pipeline.destinations import Destination
from stepwell.programs.pipeline.encoding import JSON_TYPE, PROTOBUF_TYPE, Encoding
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.expecting import Expectation, compile_expectation
from stepwell.programs.pipeline.faults import Faults, RuleError
from stepwell.programs.pipeline.model import Loop, Stage
from stepwell.programs.pipeline.paths import Value
from stepwell.programs.pipeline.querying import compile_query
from stepwell.programs.pipeline.schemas import Schemas
from stepwell.programs.pipeline.strings import shown
from stepwell.programs.pipeline.values import Assign, Where, compile_assignment, compile_value, function_text

MAX_PASSES: Final = 10_000
"""Of a loop that has a condition and no `repeat`."""
_Part = TypeVar("_Part")


class StageCompiler:
    """Compiles one stage after the other, and notes what is wrong with each."""

    def __init__(
        self, faults: Faults, destination: Destination, schemas: Schemas, *, protobuf: bool, schema: str | None
    ) -> None:
        self._faults = faults
        self._destination = destination
        self._schemas = schemas
        self._protobuf = protobuf
        self._schema = schema

    def compile(self, given: Any, number: int) -> Stage | None:
        """One stage; None when it is not even an object with a name."""
        at = f"/pipeline/{number - 1}"
        if not isinstance(given, dict):
            self._faults.add(at, f"a stage must be an object (got {shown(given)})")
            return None
        name = self._name(given, at)
        if name is None:
            return None
        step = f"{_slug(name)}-{number}"
        emits = self._part(
            given, "emit", at, lambda value: _emission(value, name, f"{step}-append"), self._default(given)
        )
        loop = self._loop(given, name, step, at)
        query = self._part(given, "query", at, lambda value: compile_query(value, name, f"{step}-query"), None)
        wait_s = self._part(given, "wait", at, _wait, 0.0)
        expect = self._expect(given, name, step, at)
        encoding = self._encoding(given, name, at) if emits is not None else None
        exchange, routing_key = self._destination.address
        return Stage(
            name=name,
            id=step,
            follows=number > 1,
            source=self._source(given, name, at),
            loop=loop,
            query=query,
            assigns=(*self._set(given, name, step, at), *self._state(given, name, step, at)),
            emits=emits,
            headers=self._headers(given, name, step, at) if emits is not None else {},
            key=self._key(given, step, at) if emits is not None else None,
            encoding=encoding,
            destination=self._destination,
            topic=self._destination.topic or "",
            exchange=exchange,
            routing_key=routing_key,
            content_type=JSON_TYPE if encoding is None else PROTOBUF_TYPE,
            unsendable=self._destination.missing(f"{step}-send"),
            wait_s=wait_s,
            expect=expect,
            plain=loop is None and query is None and expect is None and not wait_s,
        )

    def _part(
        self, given: dict[str, Any], name: str, at: str, compile: Callable[[Any], _Part], otherwise: _Part
    ) -> _Part:
        """A member of the stage, where it is there and right."""
        if given.get(name) is None:
            return otherwise
        with self._faults.at(f"{at}/{name}"):
            return compile(given[name])
        return otherwise

    def _name(self, given: dict[str, Any], at: str) -> str | None:
        text = given.get("stage") if given.get("stage") is not None else given.get("name")
        if not isinstance(text, str) or not text.strip():
            self._faults.add(f"{at}/stage", "pipeline.stage must not be null")
            return None
        if not re.search("[A-Za-z0-9]", text):
            self._faults.add(f"{at}/stage", "stage must contain at least one letter or digit")
        return text.strip()

    @staticmethod
    def _default(given: dict[str, Any]) -> Condition | Literal[True] | None:
        """Whether a stage that says nothing emits: not in the dialect that has `stage`."""
        return None if given.get("stage") is not None else True

    def _source(self, given: dict[str, Any], name: str, at: str) -> Literal["none", "previous-stage"]:
        match given.get("source"):
            case None | "none":
                return "none"
            case "previous-stage":
                return "previous-stage"
            case other:
                text = other if isinstance(other, str) else shown(other)
                self._faults.add(f"{at}/source", f"Unsupported source '{text}' for stage: {name}")
                return "none"

    def _loop(self, given: dict[str, Any], name: str, step: str, at: str) -> Loop | None:
        most = self._part(given, "repeat", at, lambda value: _repeat(value, name), None)
        goes_on, ends = (self._condition(given, field, name, step, at) for field in ("repeatWhile", "repeatUntil"))
        if most == 1 or (most is None and goes_on is None and ends is None):
            return None  # a single pass asks no condition
        return Loop(most=most or MAX_PASSES, goes_on=goes_on, ends=ends)

    def _condition(self, given: dict[str, Any], field: str, name: str, step: str, at: str) -> Condition | None:
        return self._part(given, field, at, lambda value: _loop_condition(value, field, name, f"{step}-repeat"), None)

    def _object(self, given: dict[str, Any], field: str, name: str, at: str) -> dict[str, Any]:
        value = given.get(field)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._faults.add(f"{at}/{field}", f"{field} must be an object for stage: {name} (got {shown(value)})")
            return {}
        return value

    def _set(self, given: dict[str, Any], name: str, step: str, at: str) -> list[Assign]:
        made: list[Assign] = []
        for field, value in self._object(given, "set", name, at).items():
            with self._faults.at(f"{at}/set/{escape(field)}"):
                where = Where(field=field, step=f"{step}-set-1")
                made.append(compile_assignment(field, value, where, _payload_of))
        return made

    def _state(self, given: dict[str, Any], name: str, step: str, at: str) -> tuple[Assign, ...]:
        entries = self._object(given, "state", name, at)
        return compile_state(entries, f"{at}/state", f"{step}-state-set-1", self._faults)

    def _headers(self, given: dict[str, Any], name: str, step: str, at: str) -> dict[str, Value]:
        made: dict[str, Value] = {}
        for field, value in self._object(given, "headers", name, at).items():
            with self._faults.at(f"{at}/headers/{escape(field)}"):
                made[field] = compile_value(value, Where(field=field, step=f"{step}-headers"))
        return made

    def _key(self, given: dict[str, Any], step: str, at: str) -> Value | None:
        if self._destination.type != "kafka":
            return None
        where = Where(field="key", step=f"{step}-key")
        return self._part(given, "key", at, lambda value: compile_value(value, where), None)

    def _encoding(self, given: dict[str, Any], name: str, at: str) -> Encoding | None:
        where = "wireFormat" if given.get("wireFormat") is not None else "schemaId"
        with self._faults.at(f"{at}/{where}"):
            return wire.compile_encoding(
                given, name, self._destination.type, self._schemas, protobuf=self._protobuf, schema=self._schema
            )
        return None

    def _expect(self, given: dict[str, Any], name: str, step: str, at: str) -> Expectation | None:
        producer = self._destination.producer
        return self._part(
            given, "expect", at, lambda value: compile_expectation(value, name, f"{step}-expect", producer), None
        )


def compile_state(given: dict[str, Any], pointer: str, step: str, faults: Faults) -> tuple[Assign, ...]:
    """Assignments below `state`, in the order in which they are written."""
    made: list[Assign] = []
    for field, value in given.items():
        with faults.at(f"{pointer}/{escape(field)}"):
            where = Where(field=field, step=step, root="state")
            made.append(compile_assignment(field, value, where, _state_of))
    return tuple(made)


def _payload_of(execution: Execution) -> dict[str, Any]:
    return execution.payload


def _state_of(execution: Execution) -> dict[str, Any]:
    if execution.state is None:
        execution.state = {}
    return execution.state


def _slug(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def _emission(given: Any, name: str, step: str) -> Condition | Literal[True] | None:
    if isinstance(given, bool):
        return True if given else None
    if not isinstance(given, dict):
        raise RuleError("emit must be boolean or object")
    if set(given) != {"$fn"}:
        raise RuleError(f"emit must use '$fn' for stage: {name}")
    return compile_condition(function_text(given["$fn"]), "condition", step)


def _repeat(given: Any, name: str) -> int:
    if type(given) is not int:
        raise RuleError(f"repeat must be a whole number (got {shown(given)}) for stage: {name}")
    if given <= 0:
        raise RuleError(f"repeat must be > 0 (got {given}) for stage: {name}")
    return given


def _loop_condition(given: Any, field: str, name: str, step: str) -> Condition | None:
    if given == {}:
        return None
    if not isinstance(given, dict) or set(given) != {"$fn"}:
        raise RuleError(f"{field} must use '$fn' for stage: {name}")
    return compile_condition(function_text(given["$fn"]), field, step)


def _wait(given: Any) -> float:
    if not isinstance(given, str):
        raise RuleError(f"Unsupported wait duration: {shown(given)}")
    return waits.seconds_of(given)
