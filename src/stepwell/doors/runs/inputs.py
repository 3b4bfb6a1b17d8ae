"""What a run is started with: inputs checked against what its workflow declares, files bound to them, envs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import UNSET

from stepwell.doors.kit import Fault, InvalidRequestError
from stepwell.doors.runs.wire import MASK, InputValue
from stepwell.files import FileReference
from stepwell.programs.plan.inputs import check_input
from stepwell.programs.plan.model import ENV_INPUT, Plan, Variable

FILE_TYPES: Final = ("file", "file[]")
_PART: Final = re.compile(r"inputs\[(?P<bracketed>[^\]]*)\]|inputs\.(?P<dotted>.*)", re.DOTALL)
_JSON_TYPES: Final = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}

Uploaded = Sequence[tuple[str, FileReference]]
"""Files by the names of their parts, in order."""


def run_input(
    plan: Plan | None,
    inputs: Mapping[str, Any],
    *,
    files: Uploaded = (),
    envs: Mapping[str, str] | None = None,
    saved_env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The input of a run. Without a plan nothing is declared: any inputs are taken, no files and no envs.

    Raises `InvalidRequestError` with all that is wrong.
    """
    faults = [*_file_faults(plan, inputs, files), *_env_faults(plan, envs or {})]
    given = {**inputs, **_bound(plan, files)}
    if plan is not None:
        faults += [Fault(path=("inputs", *_place(name)), message=text) for name, text in _faults(plan, given)]
    if faults:
        raise InvalidRequestError(faults)
    env = {**(saved_env or {}), **(envs or {})}
    return {**given, ENV_INPUT: env} if env else given


def shown_inputs(plan: Plan | None, input: Any) -> list[InputValue]:
    """The inputs that a run uses as a list, secrets masked: those declared first, in their order."""
    if input is None:
        return []
    if not isinstance(input, dict):
        return [InputValue(name="input", type=_type_of(input), value=input)]
    declared = {variable.name: variable for variable in plan.variables} if plan is not None else {}
    if not (declared or input):
        return []
    used = {name: variable.default for name, variable in declared.items() if variable.default is not UNSET}
    given = {name: value for name, value in input.items() if name != ENV_INPUT}
    used |= {name: value for name, value in given.items() if value is not None or name not in used}
    names = [name for name in declared if name in used] + [name for name in used if name not in declared]
    return [_shown(name, declared.get(name), used[name]) for name in names]


def _shown(name: str, variable: Variable | None, value: Any) -> InputValue:
    if variable is None:
        return InputValue(name=name, type=_type_of(value), value=value)
    type = "string" if variable.type == "secret" else variable.type
    return InputValue(name=name, type=type, value=MASK if variable.secret and value is not None else value)


def _type_of(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "object")


# --- files ----------------------------------------------------------------------------------------------------------


def _input_name(part: str) -> str:
    """The input that a part is for: its name, or `inputs[name]`, or `inputs.name`."""
    found = _PART.fullmatch(part)
    return part if found is None else found["bracketed"] or found["dotted"] or ""


def _bound(plan: Plan | None, files: Uploaded) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, reference in files:
        name = _input_name(part)
        variable = plan.variable(name) if plan is not None else None
        if variable is not None and variable.type == "file[]":
            found.setdefault(name, []).append(_value(reference))
        elif variable is not None and variable.type == "file":
            found[name] = _value(reference)
    return found


def _value(reference: FileReference) -> dict[str, Any]:
    return {
        "objectId": reference.object_id,
        "filename": reference.filename,
        "contentType": reference.content_type,
        "size": reference.size,
    }


def _file_faults(plan: Plan | None, inputs: Mapping[str, Any], files: Uploaded) -> Iterator[Fault]:
    seen: set[str] = set()
    for part, reference in files:
        name = _input_name(part)
        variable = plan.variable(name) if plan is not None else None
        if variable is None or variable.type not in FILE_TYPES:
            yield Fault(path=(part,), message=f"expected a file for a declared input of type file, found {name!r}")
        elif variable.type == "file" and name in seen:
            yield Fault(path=(part,), message="expected one file, found several")
        elif not _is_accepted(variable, reference):
            accepted = ", ".join(variable.accept)
            yield Fault(path=(part,), message=f"expected a file of {accepted}, found {reference.content_type!r}")
        seen.add(name)
    for variable in plan.variables if plan is not None else ():
        if variable.type in FILE_TYPES and inputs.get(variable.name) is not None:
            message = "expected a file, which comes as a part of a multipart form, found a value"
            yield Fault(path=("inputs", variable.name), message=message)


def _is_accepted(variable: Variable, reference: FileReference) -> bool:
    """Media types, `image/*`, or endings like `.pdf`: as the `accept` of a file field in HTML."""
    media_type = reference.content_type.partition(";")[0].strip().lower()
    filename = reference.filename.lower()
    return not variable.accept or any(
        filename.endswith(wanted.lower()) if wanted.startswith(".") else fnmatchcase(media_type, wanted.lower())
        for wanted in variable.accept
    )


# --- inputs and envs ------------------------------------------------------------------------------------------------


def _faults(plan: Plan, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, messages in check_input(plan, given).items():
        for message in messages:
            yield name, message


def _place(name: str) -> tuple[str, ...]:
    return (name,) if name else ()


def _env_faults(plan: Plan | None, envs: Mapping[str, str]) -> Iterator[Fault]:
    known = [env.name for env in plan.env] if plan is not None else []
    for name in envs:
        if name not in known:
            declared = f"there are: {', '.join(known)}" if known else "the workflow declares none"
            yield Fault(path=("envs", name), message=f"is not declared ({declared})")
