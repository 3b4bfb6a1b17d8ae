"""The standard's own scenarios (its conformance kit), as far as what they use is supported.

The pet store is a client in memory. Steps about the order of tasks are left out: pure tasks leave no trace.
"""

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest
from memory_run import Ending, run_through

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.flow.nodes.attempts import error_value
from stepwell.programs.flow.reading import read
from stepwell.programs.http import HttpRequest, HttpResponse

FEATURES = Path(__file__).parents[4] / "shared" / "serverless-workflow" / "features"

PET = {"id": 1, "name": "milou", "status": "available"}

_STEP = re.compile(r'^    (?:Given|When|Then|And) (.+?)$(?:\n    """(?:yaml)?\n(.*?)\n    """)?',
                   re.MULTILINE | re.DOTALL)


class PetStore:
    async def send(self, request: HttpRequest) -> HttpResponse:
        headers = {"content-type": "application/json"}
        if "getPetByName" in request.url:
            return HttpResponse(status=404)
        pets: Any = [PET] if "findByStatus" in request.url else PET
        return HttpResponse(status=200, headers=headers, content=json.dumps(pets).encode())


class Scenario(msgspec.Struct):
    """Steps as (sentence, text under it)."""

    name: str
    steps: list[tuple[str, str]]

    def text_of(self, start: str) -> str | None:
        return next((text for sentence, text in self.steps if sentence.startswith(start)), None)


def scenarios() -> list[Scenario]:
    """All scenarios of all features; none when the standard is not beside this folder."""
    found = []
    for path in sorted(FEATURES.glob("*.feature")):
        for block in re.split(r"^  Scenario: ", path.read_text(), flags=re.MULTILINE)[1:]:
            name, _, steps = block.partition("\n")
            steps = re.sub(r"^ {6}\"\"\"", '    """', steps, flags=re.MULTILINE)
            found.append(Scenario(name, [(step, dedent(text)) for step, text in _STEP.findall(steps)]))
    return found


@pytest.mark.skipif(not FEATURES.exists(), reason="the standard's scenarios are not beside this folder")
def test_all_scenarios_are_read() -> None:
    assert len(scenarios()) == 21


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
async def test_scenario_ends_as_the_standard_says(scenario: Scenario) -> None:
    definition = scenario.text_of("a workflow with definition")
    assert definition is not None
    try:
        program = FlowPrograms(http=PetStore()).compile(definition).program
    except InvalidDefinitionError as error:
        pytest.skip(str(error).splitlines()[0])
    given = scenario.text_of("given the workflow input")
    ending = await run_through(program, read(given).value if given else {})
    for sentence, text in scenario.steps:
        check_sentence(sentence, text, ending)


def check_sentence(sentence: str, text: str, ending: Ending) -> None:
    value: Any = read(text).value if text else None
    names = re.findall(r"'([^']+)'", sentence)
    if "should fault" in sentence:
        assert ending.failure is not None
        wanted: dict[str, Any] = value or {}
        assert wanted.items() <= error_value(ending.failure).items()
    elif "should complete" in sentence:
        assert ending.failure is None, ending.failure
        assert "with output" not in sentence or ending.output == value
    elif "property with value" in sentence:
        assert at(ending.output, names[0]) == value
    elif "should have properties" in sentence:
        assert all(at(ending.output, name) is not None for name in names)
    elif "containing" in sentence:
        assert len(at(ending.output, names[0])) == int(sentence.split()[-2])


def at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[name]
    return value
