"""What can be wrong with a definition: faults with their place, all of one document at once."""

from collections.abc import Iterable

import msgspec

from stepwell.core.errors import StepwellError


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a definition.

    `pointer` is the JSON pointer (RFC 6901) of the deepest place concerned, which for a missing property is
    where it should be; empty for the document itself. `line` counts from 1; 0 when the text has no lines.
    """

    pointer: str
    line: int
    message: str

    def __str__(self) -> str:
        place = [f"line {self.line}"] if self.line else []
        return ", ".join([*place, self.pointer] if self.pointer else place or ["document"]) + f": {self.message}"


class InvalidDefinitionError(StepwellError):
    """A definition that cannot be saved or run; `faults` holds everything that is wrong, in document order."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)
