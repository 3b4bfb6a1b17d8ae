"""Random documents: valid ones keep their meaning when they are formatted, broken ones are refused and nothing else.

2,000 of each kind; 1,000,000 with STEPWELL_SOAK=1. A failing seed is printed by hypothesis, and kept by it.
"""

import json
import os
from collections.abc import Callable, Sequence
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_documents import Maker, broken

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.programs.flow import check_definition
from stepwell.programs.flow.canonical import canonical
from stepwell.programs.flow.comments import Comments
from stepwell.programs.flow.graph import graph_of, mermaid
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.reading import read
from stepwell.programs.flow.source import Source
from stepwell.programs.flow.yaml_writing import YamlWriter

CASES = 1_000_000 if os.environ.get("STEPWELL_SOAK") else 2_000
many = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
BETWEEN = ("back to itself", "expected exactly one of", "in the loop", "until", "all of")
JUNK = ('"', "}", "\\", "\x00", "", "[", ":", "\ud800", "&a ", "*a ", "\n- ")
seeds = st.integers(0, 2**64 - 1)


@given(seed=seeds)
@many
def test_valid_document_keeps_its_meaning_when_formatted(seed: int) -> None:
    document = Maker(Random(seed)).document()
    formatted = ""

    def form() -> None:
        nonlocal formatted
        formatted = canonical(json.dumps(document))

    if faults := faults_of(form):  # what the model says about one property is met; rules between several need not be
        assert all(any(words in fault.message for words in BETWEEN) for fault in faults), list(map(str, faults))
        return
    assert json.loads(formatted) == document
    if seed % 32 == 0:  # reading YAML takes a hundred times as long
        assert mermaid(graph_of(workflow_in(Source(document, {}))))
        written = YamlWriter(lambda _at, value: list(value), Comments({}, {}, [])).text(document)
        assert read(written).value == document
        as_yaml = canonical(written)
        assert read(as_yaml).value == document
        assert canonical(as_yaml) == as_yaml


@given(seed=seeds)
@many
def test_broken_document_is_refused_or_taken_and_nothing_else(seed: int) -> None:
    random = Random(seed)
    document = Maker(random).document()
    for _ in range(random.randint(1, 3)):
        document = broken(document, random)
    text = json.dumps(document)
    if seed % 32 == 0:  # broken as text
        at = random.randrange(len(text))
        text = text[:at] + random.choice(JUNK) + text[at + 1 :]
    for faults in (faults_of(lambda: check_definition(text)), faults_of(lambda: canonical(text))):
        assert all(fault.message and fault.line >= 1 for fault in faults)


def faults_of(take: Callable[[], object]) -> Sequence[Fault]:
    """What is wrong with a document, as told by the one exception that may come."""
    try:
        take()
    except InvalidDefinitionError as error:
        return error.faults
    return ()
