"""The port to registered functions: what programs see of them."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from stepwell.core.program import Work
from stepwell.core.retry import RetryPolicy


class Parameter(Protocol):
    """One argument of a function."""

    @property
    def kind(self) -> Any:
        """Its annotation."""

    @property
    def required(self) -> bool: ...


class RegisteredFunction(Protocol):
    """A registered function: what a call does, how its step is tried, and what it takes."""

    name: str
    call: Any
    retry: RetryPolicy
    timeout_s: float | None
    heartbeat_timeout_s: float | None

    @property
    def parameters(self) -> Mapping[str, Parameter]: ...

    def work(self, arguments: Mapping[str, Any] | None = None) -> Work:
        """One call with these keyword arguments. They are the run's own: they must not be changed."""


class RegisteredFunctions(Protocol):
    """The registered functions, by name."""

    def find(self, name: str) -> RegisteredFunction | None: ...

    def names(self) -> Collection[str]: ...
