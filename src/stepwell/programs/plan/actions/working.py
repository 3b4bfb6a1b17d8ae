"""The work of a task around what it does: its output is checked and free of secrets before it goes on record, and
what may be tried again is what the step says."""

from typing import Any

import msgspec

from stepwell.core.errors import Problem, ProgramError, StepFailure, code_of
from stepwell.core.program import StepContext, Work
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.programs.plan.actions.port import problem, worth_it
from stepwell.programs.plan.hiding import VeiledStep
from stepwell.programs.plan.scope import Place


class Working:
    """`check` is the compiled `output_schema` of the step, at the pointer `at`."""

    def __init__(self, check: DataCheck | None, at: str) -> None:
        self._check = check
        self._at = at

    def work(self, place: Place, inner: Work) -> Work:
        """`inner` as the work of the step at a place."""
        veil = place.veil

        async def work(step: StepContext) -> Any:
            try:
                value = await inner(VeiledStep(step, veil) if veil else step)
                await self.check(value)
            except (StepFailure, ProgramError) as error:
                raise StepFailure(self._judged(place, error.problem)) from None
            return veil.value(value)

        return work

    async def check(self, value: Any) -> None:
        """Raises `ProgramError` of the type `invalid_output`."""
        if self._check is None:
            return
        try:
            await self._check.check(value, self._at)
        except ProgramError as error:
            found = error.problem
            raise ProgramError(problem("invalid_output", found.detail, data=found.data, retryable=False)) from None

    @staticmethod
    def _judged(place: Place, found: Problem) -> Problem:
        found = msgspec.structs.replace(place.veil.problem(found), instance=found.instance or place.at)
        if found.retryable and not worth_it(place.step, code_of(found), found.status):
            return msgspec.structs.replace(found, retryable=False)
        return found
