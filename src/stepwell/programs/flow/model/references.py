"""Names that stand for a part of `use`: read as text, and checked to exist there."""

from typing import Annotated, Any

from stepwell.programs.flow.binding import Reader
from stepwell.programs.flow.check import Check, describe


def reference(section: str) -> Reader:
    """A reader of the name of one of `use.<section>`."""

    def read(value: Any, at: str, check: Check) -> Any:
        if not isinstance(value, str):
            return check.fault(at, f"expected the name of one of use.{section}, found {describe(value)}")
        check.reference(section, value, at)
        return value

    return read


AuthenticationName = Annotated[str, reference("authentications")]
ErrorName = Annotated[str, reference("errors")]
RetryName = Annotated[str, reference("retries")]
SecretName = Annotated[str, reference("secrets")]
TimeoutName = Annotated[str, reference("timeouts")]
