"""The text of a definition to JSON values with lines: YAML 1.2 or JSON. Syntax only: nothing of the language."""

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.programs.flow.json_text import read_json
from stepwell.programs.flow.source import MAX_CHARACTERS, Source
from stepwell.programs.flow.yaml_text import read_yaml


def read(text: str) -> Source:
    """Read YAML or JSON. Raises `InvalidDefinitionError`."""
    if len(text) > MAX_CHARACTERS:
        message = f"expected at most {MAX_CHARACTERS} characters, found {len(text)}"
        raise InvalidDefinitionError([Fault(pointer="", line=1, message=message)])
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return read_yaml(text)
    try:
        return read_json(text)
    except InvalidDefinitionError as json_error:
        return _read_flow_style(text, json_error)


def _read_flow_style(text: str, json_error: InvalidDefinitionError) -> Source:
    """`{a: b}` is YAML although it looks like JSON; what is neither is reported as JSON."""
    try:
        return read_yaml(text)
    except InvalidDefinitionError:
        raise json_error from None
