"""The `query` of a stage: one record looked up in a data source, parts of it written to the state.

`find` and `select` are checked and compiled here; who reads the record is handed in by the engine. What could run
code in a database is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from stepwell.programs.pipeline.execution import Execution, found, put
from stepwell.programs.pipeline.faults import PathNotFoundError, RuleError
from stepwell.programs.pipeline.functions import compile_function
from stepwell.programs.pipeline.operands import compile_operand, constant
from stepwell.programs.pipeline.paths import Value, reader
from stepwell.programs.pipeline.strings import shown
from stepwell.programs.pipeline.values import Where, compile_value, function_text
from stepwell.sources.port import Choose, Pick, Wanted

REFUSED_OPERATORS: Final = ("$where", "$function", "$accumulator", "$expr")
REFUSED_DATABASES: Final = ("admin", "local", "config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """One entry of `select`: the field of the record, where it is written, and what stands in for it."""

    target: str
    field: str
    default: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`database` and `collection` are empty for sources that have none. `sample` stands in for the record in a
    simulation.
    """

    stage: str
    connection: str
    database: str
    collection: str
    find: Value
    select: tuple[Selected, ...]
    pick: Pick
    sample: Value | None

    def wanted(self, execution: Execution) -> Wanted:
        """What is to be looked up now. Raises `RuleError`."""
        return Wanted(
            find=self.find(execution),
            fields=tuple(selected.field for selected in self.select),
            database=self.database,
            collection=self.collection,
            choose=_CHOICES[self.pick](execution) if self.pick in _CHOICES else None,
        )

    def take(self, execution: Execution, record: Mapping[str, Any] | None) -> None:
        """Write what was found to the paths of `select`. Raises `RuleError`."""
        for selected in self.select:
            root, *path = selected.target.split(".")
            assert root == "state", "targets are checked when the query is compiled"
            if execution.state is None:
                execution.state = {}
            put(execution.state, tuple(path), self._value(selected, execution, record), clash="state")
        self.note(execution, 0 if record is None else 1)

    def note(self, execution: Execution, count: int) -> None:
        """Say in `meta` that so many records were found."""
        execution.memory.meta["lastQuery"] = {
            "count": count,
            "collection": self.collection,
            "database": self.database,
            "connectionName": self.connection,
            "simulated": execution.origin.simulated,
        }

    def _value(self, selected: Selected, execution: Execution, record: Mapping[str, Any] | None) -> Any:
        if record is not None:
            try:
                return found(record, tuple(selected.field.split(".")))
            except KeyError:
                return selected.default(execution) if selected.default is not None else None
        if selected.default is not None:
            return selected.default(execution)
        raise RuleError(
            f"Query returned no documents. State path '{selected.target}' was not populated. "
            f"Give it a default, or check query.find of stage: {self.stage}"
        )


def compile_query(given: Any, stage: str, step: str) -> Query:
    """Raises `RuleError`."""
    if not isinstance(given, dict):
        raise RuleError(f"query must be an object for stage: {stage}")
    names = _place(given, stage)
    find = given.get("find")
    if find is not None and not isinstance(find, dict):
        raise RuleError(f"query.find must be an object for stage: {stage}")
    return Query(
        stage=stage,
        find=_filter(find or {}, step),
        select=_selects(given.get("select"), stage, step),
        pick=_pick(given.get("pick"), stage),
        sample=_sample(given.get("sample"), stage, step),
        **names,
    )


def _place(given: dict[str, Any], stage: str) -> dict[str, str]:
    """`connection`, `database` and `collection`; or (an extension) a `source` that may have a `table`."""
    if given.get("source") is not None:
        table = _text(given, "table", stage) if given.get("table") is not None else ""
        return {"connection": _text(given, "source", stage), "database": "", "collection": table}
    names = {name: _text(given, name, stage) for name in ("connection", "database", "collection")}
    if names["database"] in REFUSED_DATABASES:
        raise RuleError(f"Disallowed database '{names['database']}' for stage: {stage}")
    if names["collection"].startswith("system."):
        raise RuleError(f"Disallowed collection '{names['collection']}' for stage: {stage}")
    return names


def _pick(given: Any, stage: str) -> Pick:
    """Which of several records that fit, in a source that is a file (an extension)."""
    if given is None:
        return "first"
    if given not in ("first", "random", "next"):
        raise RuleError(f"query.pick must be first, random or next (got {shown(given)}) for stage: {stage}")
    return cast(Pick, given)


def _sample(given: Any, stage: str, step: str) -> Value | None:
    """What a simulation finds (an extension)."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise RuleError(f"query.sample must be an object (got {shown(given)}) for stage: {stage}")
    return compile_value(given, Where(field="query", step=step))


def _at_random(execution: Execution) -> Choose:
    return execution.chance.below


def _by_turns(execution: Execution) -> Choose:
    """The records go round with the executions."""
    return lambda count: (execution.index - 1) % count


_CHOICES: Final[dict[Pick, Callable[[Execution], Choose]]] = {"random": _at_random, "next": _by_turns}


def _text(given: dict[str, Any], name: str, stage: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value.strip():
        raise RuleError(f"query.{name} must be defined for stage: {stage}")
    return value.strip()


def _filter(given: Any, step: str) -> Value:
    """A filter, whose members may be `$fn` and `$path`."""
    if isinstance(given, list):
        items = [_filter(item, step) for item in given]
        return lambda execution: [item(execution) for item in items]
    if not isinstance(given, dict):
        return constant(given)
    if set(given) == {"$fn"}:
        return compile_function(function_text(given["$fn"]), step, compile_operand)
    if "$path" in given and set(given) <= {"$path", "default"}:
        return _path(given, step)
    for name in given:
        if name in REFUSED_OPERATORS:
            raise RuleError(f"Disallowed MongoDB operator '{name}' in filter")
    members = {name: _filter(value, step) for name, value in given.items()}
    return lambda execution: {name: value(execution) for name, value in members.items()}


def _path(given: dict[str, Any], step: str) -> Value:
    """A path that need not be there: without a default it is null."""
    path = given["$path"]
    if not isinstance(path, str) or not all(path.split(".")):
        raise RuleError(f"$path must be a path (got {shown(path)}) for step: {step}")
    read = reader(tuple(path.split(".")))
    default = _filter(given.get("default"), step)

    def value(execution: Execution) -> Any:
        try:
            return read(execution)
        except PathNotFoundError:
            return default(execution)

    return value


def _selects(given: Any, stage: str, step: str) -> tuple[Selected, ...]:
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise RuleError(f"query.select must be an object for stage: {stage}")
    return tuple(_selected(target, value, stage, step) for target, value in given.items())


def _selected(target: str, given: Any, stage: str, step: str) -> Selected:
    root, _, rest = target.partition(".")
    if root != "state" or not rest or not all(rest.split(".")):
        raise RuleError(f"query.select must write below state (got {target!r}) for stage: {stage}")
    field = given.get("field") if isinstance(given, dict) else given
    if not isinstance(field, str) or not all(field.split(".")):
        raise RuleError(f"query.select '{target}' must name a field (got {shown(given)}) for stage: {stage}")
    default = _filter(given["default"], step) if isinstance(given, dict) and "default" in given else None
    return Selected(target=target, field=field, default=default)
