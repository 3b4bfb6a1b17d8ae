"""What people are shown of the steps of a hosted run (`core.program.Showing`): what the step function returned, or
what was posted, and not how that is kept. Pure.

The record of a step (`codec.Codec.dump_outputs`) has besides what it sent, wrote and waits for; that of a failed one
is in the data of its problem. It stays whole in the history, which is what recovery reads.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from stepwell.core.errors import Problem
from stepwell.programs.code.record import OUTCOME

POSTED = "event"
"""The type of the step that took a posted event, as views name it."""


class Shown:
    """`core.program.Showing` of hosted workflows: events are shown by their fields."""

    def output(self, type: str, output: Any) -> Any:
        if not isinstance(output, dict):
            return output
        if type == POSTED:
            return _fields(output.get("event"))
        results = output.get("results")
        return output if results is None else _returned(results)

    def problem(self, problem: Problem) -> Problem:
        if not isinstance(problem.data, dict) or OUTCOME not in problem.data:
            return problem
        rest = {name: value for name, value in problem.data.items() if name != OUTCOME}
        return msgspec.structs.replace(problem, data=rest or None)


def _returned(results: list[Mapping[str, Any]]) -> Any:
    """The fields of the event that a step returned; a list of them where it returned a list; None where it returned
    nothing, or waits.
    """
    returned = [result for result in results if result["type"] == "result"]
    found = [_fields(result["result"]) for result in returned if result["result"] is not None]
    if any(result["fanned_out"] for result in returned):
        return found
    return found[0] if found else None


def _fields(event: Any) -> Any:
    """The fields of an event as the record holds it."""
    return event["value"] if isinstance(event, dict) and "value" in event else event
