"""`$secrets`: the values of the secrets that a definition names, read when an expression or a call asks for them.

They are no facts: they are never recorded, so a run that goes on after a change sees the new values.
"""

from collections.abc import Sequence
from typing import Any

from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.secrets import Secrets


class SecretValues:
    """The secrets in `use.secrets`, from where the server keeps them."""

    __slots__ = ("_names", "_secrets")

    def __init__(self, names: Sequence[str], secrets: Secrets | None) -> None:
        self._names = names
        self._secrets = secrets

    def read(self) -> dict[str, Any]:
        """All of them. Raises `ProgramError` when one is missing."""
        return {name: self.find(name) for name in self._names}

    def find(self, name: str) -> Any:
        """One of them. Raises `ProgramError` of the standard's type `authorization` (DSL, "Secret")."""
        value = self._secrets.find(name) if self._secrets is not None else None
        if value is None:
            # Without a place: whoever runs the task knows it.
            raise failure(
                "authorization",
                f"expected the secret {name!r}, found none of that name on this server",
                "",
                status=403,
            )
        return value


NO_SECRETS = SecretValues((), None)
