"""What goes on record of a hosted run, as JSON values and back: outcomes of steps, ticks, values of the state.

Classes are named in the record by the objects that were written, never by a client: a plain value that looks like the
name of a class is refused when it is to be kept. So reading one's own record may import what it names.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import msgspec
from pydantic import BaseModel, TypeAdapter

from stepwell.programs.code.envelopes import qualified_name
from stepwell.programs.code.seam import (
    AddWaiter,
    Event,
    JsonSerializer,
    SentEvent,
    StepFunctionResult,
    StepWorkerFailed,
    StepWorkerOutput,
    TickStepResult,
    WorkflowTick,
    WorkflowTickAdapter,
)

MARKS: Final = ("__is_pydantic", "__is_component")
"""The keys by which a record tells an object from a plain value."""
_RESULTS: Final[TypeAdapter[Any]] = TypeAdapter(list[StepFunctionResult])
_SENDS: Final = TypeAdapter(list[SentEvent])
_ON_RECORD: Final = frozenset({"result", "sends"})
"""Members of a tick that are on record with its step."""


class NotKeptError(ValueError):
    """A value that cannot be written to the record, so that a run which used it would not survive a restart."""


class RecordSerializer(JsonSerializer):
    """Reads and writes the run's own record: knows the declared classes, and imports others that it wrote itself."""

    def resolve_class(self, qualified_name: str) -> type[Any]:
        try:
            return super().resolve_class(qualified_name)
        except ValueError:
            module, _, name = qualified_name.rpartition(".")
            declared = self._declared_as(name)
            if declared is not None and _is_one_file(module, declared.__module__):
                return declared
            found = getattr(import_module(module), name)
            if not isinstance(found, type):
                raise ValueError(f"expected a class, found {qualified_name}") from None
            return found

    def _declared_as(self, name: str) -> type[Any] | None:
        return next((kind for kind in self._registered_types.values() if kind.__name__ == name), None)

    def serialize_value(self, value: Any) -> Any:
        if isinstance(value, Event):
            return _event(value)
        value = _with_its_parts(value)
        if isinstance(value, dict):
            if any(mark in value for mark in MARKS):
                raise NotKeptError(f"expected a plain value, found the key {next(m for m in MARKS if m in value)!r}")
            if not all(isinstance(key, str) for key in value):
                raise NotKeptError("expected keys that are text, found others")
        return super().serialize_value(value)


class Codec:
    """Writes and reads the record of one workflow's runs; `types` are the classes it declares."""

    def __init__(self, types: Iterable[type[Any]]) -> None:
        declared = tuple(types)
        self.serializer = RecordSerializer(allowed_types=declared)
        self.strict = JsonSerializer(allowed_types=declared)
        """For what clients hand in: knows the declared classes and no others."""

    # --- outcomes of steps ------------------------------------------------------------------------------------------

    def dump_outputs(self, outputs: Sequence[StepWorkerOutput]) -> dict[str, Any]:
        """What a step function gave back. Raises `NotKeptError`."""
        results = [output for output in outputs if not isinstance(output, SentEvent)]
        sends = [output for output in outputs if isinstance(output, SentEvent)]
        found: dict[str, Any] = {"results": self.dump_results(results)}
        if sends:
            found["sends"] = [_dumped(send) for send in sends]
        return found

    def dump_results(self, results: Sequence[Any]) -> list[dict[str, Any]]:
        dumped = [_dumped(result) for result in results]
        for item, result in zip(dumped, results, strict=True):
            if isinstance(result, AddWaiter) and result.requirements:
                # Without them the waiter would take any event of its class after a restart.
                item["requirements"] = plain(self.serializer.serialize_value(result.requirements))
        return dumped

    def load_results(self, data: Sequence[Mapping[str, Any]]) -> list[Any]:
        with self.serializer.validation_context():
            found: list[Any] = _RESULTS.validate_python([self._with_requirements(item) for item in data])
        return found

    def load_sends(self, data: Mapping[str, Any]) -> list[SentEvent]:
        with self.serializer.validation_context():
            return _SENDS.validate_python(data.get("sends", []))

    def _with_requirements(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        if not item.get("requirements"):
            return item
        return {**item, "requirements": self.serializer.deserialize_value(item["requirements"])}

    # --- ticks ------------------------------------------------------------------------------------------------------

    def dump_tick(self, tick: WorkflowTick, *, of_step: bool, again: bool = False) -> dict[str, Any]:
        """A tick; `of_step`: what its step gave back is on record already. Raises `NotKeptError`.

        A failure is kept with the tick all the same: the verdict of the retry policy is part of it. So is what the
        step had sent, when its outcome was taken from the record (`again`): part of that had arrived before.
        """
        failed = isinstance(tick, TickStepResult) and any(isinstance(r, StepWorkerFailed) for r in tick.result)
        dumped = _dumped(tick, leave_out=_ON_RECORD)
        found = {name: value for name, value in dumped.items() if value not in (None, [], {})}
        if isinstance(tick, TickStepResult) and (failed or not of_step):
            found["result"] = self.dump_results(tick.result)
        if isinstance(tick, TickStepResult) and (again or not of_step):
            found["sends"] = [_dumped(send) for send in tick.sends]
        return found

    def load_tick(self, data: Mapping[str, Any], outcome: Mapping[str, Any] | None) -> WorkflowTick:
        """A tick of the record; `outcome` is the record of its step, where it has one."""
        found = dict(data)
        if outcome is not None:
            found.setdefault("result", outcome["results"])
            found.setdefault("sends", outcome.get("sends", []))
        if "result" in found:
            found["result"] = [self._with_requirements(item) for item in found["result"]]
        with self.serializer.validation_context():
            return WorkflowTickAdapter.validate_python(found)


def _is_one_file(written: str, here: str) -> bool:
    """Whether two modules are one, which one process imported and another was started as: there it is `__main__`. A
    second copy of it would have other classes, which no step takes.
    """
    if written == "__main__":  # of some other process: here it is what the operator hosts
        return here != "__main__"
    if here != "__main__":
        return False
    try:
        found = find_spec(written)
    except (ImportError, ValueError):
        return False
    return found is not None and _path_of(found.origin) == _path_of(
        getattr(sys.modules["__main__"], "__file__", None)
    )


def _path_of(file: str | None) -> str:
    return os.path.realpath(file) if file else ""


def _with_its_parts(value: Any) -> Any:
    """A value that JSON writes as an object or a list, as that; any other as it is. What is in it is looked at too:
    tuples and dataclasses hold what clients sent as lists do.
    """
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict | list | str | int | float | BaseModel) or value is None:
        return value
    try:
        found = msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError):
        return value
    return found if isinstance(found, dict | list) else value


def _event(event: Event) -> dict[str, Any]:
    """As the package writes one. An event with a field `class_name`, which any client can send, is something else to
    the package, which then loses its other fields.
    """
    fields = event.model_dump(mode="json")
    return {"__is_pydantic": True, "value": fields, "qualified_name": qualified_name(type(event))}


def _dumped(value: BaseModel, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    events = {name: kept for name, kept in value if isinstance(kept, Event) and name not in leave_out}
    try:
        found = value.model_dump(mode="json", exclude={*leave_out, *events})
        return found | {name: _event(kept) for name, kept in events.items()}
    except Exception as fault:  # pydantic and the user's own serializers can raise anything
        raise NotKeptError(f"expected values that can be written as JSON: {fault}") from fault


def plain(value: Any) -> Any:
    """A value that JSON takes, as it will be read back. Raises `NotKeptError`."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError) as fault:
        raise NotKeptError(f"expected values that can be written as JSON: {fault}") from fault
