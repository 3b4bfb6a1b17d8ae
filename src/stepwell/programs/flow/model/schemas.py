"""Schemas of data: JSON Schema, inline. The schema itself is checked when the definition is."""

import json
import re
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, ClassVar

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from msgspec import UNSET

from stepwell.programs.flow.binding import Part, reader_of
from stepwell.programs.flow.check import BROKEN, Check, describe
from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.regexes import is_plain, patterns_in

_JSON_FORMAT = re.compile(r"json(:.*)?")
_MAX_FAULTS = 10


class Schema(Part, frozen=True, kw_only=True):
    """`document` is the schema; `resource` would be a document elsewhere."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("document", "resource")

    format: str = "json"
    document: Any = UNSET
    resource: Any = None


def read_schema(value: Any, at: str, check: Check) -> Any:
    schema = reader_of(Schema)(value, at, check)
    if not isinstance(schema, Schema):
        return schema
    if not _JSON_FORMAT.fullmatch(schema.format):
        check.unsupported(f"{at}/format", f"the schema format {describe(schema.format)}")
    elif schema.document is UNSET:
        check.unsupported(f"{at}/resource", "a schema outside of the definition")
    elif not isinstance(schema.document, dict | bool):
        return check.fault(f"{at}/document", f"expected a JSON Schema, found {describe(schema.document)}")
    else:
        return schema if check_document(schema.document, f"{at}/document", check) else BROKEN
    return schema


def dialect_of(document: Any) -> type[Validator]:
    """The validator class that a schema asks for by `$schema`; 2020-12 when it asks for none."""
    named = isinstance(document, dict) and isinstance(document.get("$schema"), str)
    return validator_for(document, default=Draft202012Validator) if named else Draft202012Validator


def check_document(document: Any, at: str, check: Check) -> bool:
    """Whether a JSON Schema is one, and can be followed here; its faults are noted."""
    faults = _faults_in(json.dumps(document))
    for place, message in faults:
        check.fault(at + place, f"expected a JSON Schema, found an error in it: {message}")
    return not faults and _check_references(document, at, check) and _check_patterns(document, at, check)


@lru_cache(maxsize=256)
def _faults_in(text: str) -> tuple[tuple[str, str], ...]:
    """Pointers and messages. Remembered: it takes milliseconds, and schemas come again with each new version."""
    document = json.loads(text)
    dialect = dialect_of(document)
    meta = dialect(dialect.META_SCHEMA, format_checker=dialect.FORMAT_CHECKER)
    errors = islice(meta.iter_errors(document), _MAX_FAULTS)
    return tuple(_fault_of(error) for error in errors)


def _fault_of(error: Any) -> tuple[str, str]:
    while error.context:  # the deepest of the alternatives that failed
        error = max(error.context, key=lambda inner: len(inner.absolute_path))
    place = "".join(f"/{escape(str(segment))}" for segment in error.absolute_path)
    return place, error.message[:200]


def _check_patterns(document: Any, at: str, check: Check) -> bool:
    """Patterns that only jq may try must be patterns to it, and there must be a jq."""
    faults = 0
    for place, pattern in patterns_in(document):
        if is_plain(pattern):
            continue
        if check.expressions is None:
            check.unsupported(at + place, f"the pattern {describe(pattern)} (with several repetitions or choices)")
        elif "unevaluatedProperties" in str(document) and place.endswith("/patternProperties"):
            check.unsupported(at + place, f"the pattern {describe(pattern)} beside unevaluatedProperties")
        else:
            continue
        faults += 1
    return not faults


def _check_references(document: Any, at: str, check: Check) -> bool:
    """Only references into the schema itself are followed: nothing is fetched."""
    found = [(place, target) for place, target in _references(document, at) if not target.startswith("#")]
    for place, target in found:
        check.unsupported(place, f"the reference {describe(target)} to a schema outside of this one")
    return not found


def _references(value: Any, at: str) -> list[tuple[str, str]]:
    if isinstance(value, list):
        return [found for position, item in enumerate(value) for found in _references(item, f"{at}/{position}")]
    if not isinstance(value, dict):
        return []
    own = [(f"{at}/{name}", value[name]) for name in ("$ref", "$dynamicRef") if isinstance(value.get(name), str)]
    return own + [found for name, item in value.items() for found in _references(item, f"{at}/{escape(name)}")]


DataSchema = Annotated[Schema, read_schema]
