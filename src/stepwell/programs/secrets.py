"""Secrets as flows see them: values by name, from a mapping and from environment variables.

A secret is text, or JSON that its text holds (an object with `username` and `password`, say). Values are asked for
each time they are used and never kept, so a change is seen at once.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

PREFIX = "STEPWELL_SECRET_"


class Secrets(Protocol):
    """Where secrets are kept."""

    def find(self, name: str) -> Any | None:
        """The value under this name, text or JSON; None when there is none. Called on the event loop: be quick."""


class ServerSecrets:
    """The secrets of a server: those given by hand win over `STEPWELL_SECRET_<NAME>` in the environment."""

    def __init__(
        self, given: Mapping[str, Any] | None = None, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._given = given or {}
        self._environment = os.environ if environment is None else environment

    def find(self, name: str) -> Any | None:
        found = self._given.get(name)
        if found is None:
            found = self._environment.get(variable_of(name))
        return _value(found) if isinstance(found, str) else found


def variable_of(name: str) -> str:
    """The environment variable that holds a secret: `petStore-key` is in `STEPWELL_SECRET_PETSTORE_KEY`."""
    return PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _value(text: str) -> Any:
    """Text that is a JSON object is that object; all else is the text itself, numbers too."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
