"""What surrounds a task, from the model: nothing at all when the task has none of it."""

from collections.abc import Iterable, Iterator
from typing import Any

from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.checking import Definition
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.expressions.templates import unescape
from stepwell.programs.flow.model.data import Timeout
from stepwell.programs.flow.model.durations import Duration
from stepwell.programs.flow.model.schemas import Schema
from stepwell.programs.flow.model.tasks import Task
from stepwell.programs.flow.nodes.authentication import Authorizer
from stepwell.programs.flow.nodes.durations import Length
from stepwell.programs.flow.nodes.scope import Node
from stepwell.programs.flow.nodes.shaped import Shape, Shaped
from stepwell.programs.flow.nodes.validation import DataCheck


def shaped(
    node: Node,
    task: Task,
    definition: Definition,
    *,
    skip_to: int,
    authorizer: Authorizer | None = None,
    extended_by: Iterable[Part] = (),
    described: bool = True,
) -> Node:
    """The node, within a shape when the task has one. `described` is false for the tasks of extensions: `$task` in
    them is the task that they extend (DSL reference, "Extension", the logging example)."""
    names = {name for part in (task, *extended_by) for name in names_read(part, deep=part is not task)}
    needs_descriptor = "task" in names and described
    needs_authorization = "authorization" in names and authorizer is not None
    if (
        not needs_descriptor
        and not needs_authorization
        and all(part is None for part in (task.if_, task.input, task.output, task.export, task.timeout))
    ):
        return node
    source, result, export = task.input, task.output, task.export
    descriptor = _descriptor(task, definition) if needs_descriptor else None
    return Shaped(
        node,
        Shape(
            at=task.at,
            skip_to=skip_to,
            condition=task.if_,
            descriptor=descriptor,
            input_schema=data_check(source.schema if source else None, "input", definition),
            input_from=source.from_ if source else None,
            output_as=result.as_ if result else None,
            output_schema=data_check(result.schema if result else None, "output", definition),
            export_as=export.as_ if export else None,
            export_schema=data_check(export.schema if export else None, "context", definition),
            timeout=length_of(task.timeout, definition),
            authorizer=authorizer if needs_authorization else None,
        ),
    )


def data_check(schema: Schema | None, what: str, definition: Definition) -> DataCheck | None:
    return None if schema is None else DataCheck(schema.document, what, definition.expressions)


def length_of(timeout: Timeout | str | None, definition: Definition) -> Length | None:
    """A time-out by itself or by its name in `use.timeouts`."""
    if isinstance(timeout, str):
        use = definition.workflow.use
        assert use is not None, "a checked definition has what it refers to"
        timeout = use.timeouts[timeout]
    return None if timeout is None else Length(timeout.after)


def names_read(value: Any, *, deep: bool = False) -> Iterator[str]:
    """The variables that the expressions of a part read; with `deep` also those of the tasks inside it."""
    match value:
        case Expression():
            yield from value.names
        case Duration():
            yield from names_read(value.expression)
        case Part():
            for name in value.__struct_fields__:
                yield from _names_inside(getattr(value, name), deep=deep)


def _names_inside(value: Any, *, deep: bool) -> Iterator[str]:
    items = value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else (value,)
    for item in items:
        if deep or not isinstance(item, Task):
            yield from names_read(item, deep=deep)


def _descriptor(task: Task, definition: Definition) -> dict[str, Any]:
    """The constant part of the standard's task descriptor."""
    written = definition.source.value
    for segment in task.at.split("/")[1:]:
        written = written[int(segment)] if isinstance(written, list) else written[unescape(segment)]
    return {"name": task.name, "reference": task.at, "definition": written}
