"""The workflow that Stepwell and the originals host: one step that gives back what it was given."""

from workflows import Workflow, step
from workflows.events import StartEvent, StopEvent


class Trivial(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.get("x", 0))
