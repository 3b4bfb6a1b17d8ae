"""Programs written in Python against the verbs: `async def program(ctx: RunContext, input)`.

The definition's text is the name under which the function was registered; the code itself is the user's.
"""

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.core.program import Compiled, Program


class NativePrograms:
    """Registered async functions over a `RunContext` (`core.program.Programs`)."""

    kind = "python"

    def __init__(self) -> None:
        self._programs: dict[str, Program] = {}

    def add(self, name: str, program: Program) -> None:
        self._programs[name] = program

    def compile(self, document: str) -> Compiled:
        program = self._programs.get(document)
        if program is None:
            known = ", ".join(sorted(self._programs)) or "none"
            fault = Fault(
                pointer="", line=0, message=f"no Python program {document!r} is registered (known: {known})"
            )
            raise InvalidDefinitionError([fault])
        return Compiled(program=program)
