"""What can be wrong with a pipeline: when it is compiled (with a place), and when it runs (with a text)."""

from collections.abc import Iterator
from contextlib import contextmanager

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.core.errors import StepwellError
from stepwell.programs.flow.source import Source


class RuleError(StepwellError):
    """A rule of the language is broken; the text is the message that clients match."""


class PathNotFoundError(RuleError):
    """A reference to what is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"State path not found: {self.path}"


class Faults:
    """Collects the broken rules of one document, each with its JSON pointer and line."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.found: list[Fault] = []

    def add(self, pointer: str, message: str) -> None:
        self.found.append(Fault(pointer=pointer, line=self._source.line_of(pointer), message=message))

    @contextmanager
    def at(self, pointer: str) -> Iterator[None]:
        """A rule that is broken inside is noted under `pointer`, and compiling goes on."""
        try:
            yield
        except RuleError as broken:
            self.add(pointer, str(broken))

    def check(self) -> None:
        """Raises `InvalidDefinitionError` with all that was found, in the order in which it was."""
        if self.found:
            raise InvalidDefinitionError(self.found)
