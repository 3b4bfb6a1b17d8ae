"""`subworkflow`: a child run of the newest version of another workflow."""

from typing import Any

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.programs.plan.model import SubWorkflow
from stepwell.programs.plan.scope import Place


class SubWorkflowAction:
    BY_ITSELF = True
    FAILS_BY_ITSELF = KEEPS_TIME = REPEATS = False

    def __init__(self, model: SubWorkflow) -> None:
        self._model = model

    async def perform(self, place: Place) -> Any:
        given = place.filled(self._model.input, "input")
        try:
            output = await place.ctx.child(place.key, self._model.workflow, given, name=place.step.name)
        except ProgramError as error:
            raise self._as_ours(error, place) from None
        return place.veil.value(output)

    def _as_ours(self, error: ProgramError, place: Place) -> ProgramError:
        """The child's error at our place: its own `instance` points into another definition."""
        found = error.problem
        data = {"workflow": self._model.workflow, "instance": found.instance} if found.data is None else found.data
        return ProgramError(msgspec.structs.replace(found, instance=place.at, data=data), error.forget)
