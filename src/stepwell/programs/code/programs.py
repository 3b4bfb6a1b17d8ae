"""Workflow objects as a kind of program (`core.program.Programs`). Imports the package once there is one to host.

The definition's text is the name under which the object was registered; the code itself is the user's.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.core.program import Compiled

if TYPE_CHECKING:
    from workflows import Workflow
    from workflows.events import Event


def is_workflow(thing: Any) -> "TypeGuard[Workflow]":
    """Whether something is a `workflows.Workflow` object: then somebody has imported the package."""
    package = sys.modules.get("workflows")
    return package is not None and isinstance(thing, package.Workflow)


class CodePrograms:
    """Registered workflow objects; `now` is the engine's clock."""

    kind = "code"

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._workflows: dict[str, tuple[Workflow, Sequence[type[Event]]]] = {}

    def add(self, name: str, workflow: "Workflow", additional_events: Sequence["type[Event]"] = ()) -> None:
        self._workflows[name] = workflow, tuple(additional_events)

    def compile(self, document: str) -> Compiled:
        found = self._workflows.get(document)
        if found is None:
            known = ", ".join(sorted(self._workflows)) or "none"
            raise _fault(f"no LlamaIndex workflow {document!r} is registered (known: {known})")
        workflow, additional_events = found
        from stepwell.programs.code.face import Face
        from stepwell.programs.code.hosting import Hosted
        from stepwell.programs.code.running import CodeProgram
        from stepwell.programs.code.showing import Shown

        try:
            hosted = Hosted(document, workflow, additional_events)
            face = Face(hosted)
        except Exception as fault:  # the package has errors of its own for each thing that is wrong with a class
            raise _fault(f"the workflow {document!r} cannot be hosted: {fault}") from fault
        return Compiled(
            program=CodeProgram(hosted, now=self._now),
            input_schema=face.start_schema,
            typed=face,
            check_input=face.check_input,
            showing=Shown(),
        )


def _fault(message: str) -> InvalidDefinitionError:
    return InvalidDefinitionError([Fault(pointer="", line=0, message=message)])
