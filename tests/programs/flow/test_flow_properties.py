"""Random documents: valid ones keep their meaning when they are formatted, broken ones are refused and nothing else.

2,000 of each kind, others every time; 1,000,000 with STEPWELL_SOAK=1, on all processors (some hours on two).
STEPWELL_CASES says another number. When a document fails its seed is printed, and STEPWELL_SEED=<seed> makes that
document alone.
"""

import json
import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from random import Random, SystemRandom

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

SOAK = bool(os.environ.get("STEPWELL_SOAK"))
CASES = int(os.environ.get("STEPWELL_CASES") or (1_000_000 if SOAK else 2_000))
SEED = os.environ.get("STEPWELL_SEED")
BLOCK = 1_000
BETWEEN = ("back to itself", "expected exactly one of", "in the loop", "until", "all of")
JUNK = ('"', "}", "\\", "\x00", "", "[", ":", "\ud800", "&a ", "*a ", "\n- ")

Property = Callable[[int], None]
"""Holds for the document of a seed, or raises."""


def test_valid_document_keeps_its_meaning_when_formatted() -> None:
    hold_for_all(keeps_its_meaning_when_formatted)


def test_broken_document_is_refused_or_taken_and_nothing_else() -> None:
    hold_for_all(is_refused_or_taken_and_nothing_else)


def hold_for_all(holds: Property) -> None:
    first = SystemRandom().randrange(2**62) if SEED is None else int(SEED)
    if SEED is not None:
        hold(holds, first, 1)
    elif CASES <= 10 * BLOCK:
        hold(holds, first, CASES)
    else:
        with ProcessPoolExecutor() as pool:
            starts = range(first, first + CASES, BLOCK)
            for done in as_completed([pool.submit(hold, holds, start, BLOCK) for start in starts]):
                done.result()


def hold(holds: Property, first: int, cases: int) -> None:
    """For so many seeds from the first on. Raises `AssertionError` that names the seed."""
    for seed in range(first, first + cases):
        try:
            holds(seed)
        except Exception:  # noqa: BLE001  # also from another process, which keeps no traceback
            words = f"the document of seed {seed} failed; make it alone with STEPWELL_SEED={seed}"
            raise AssertionError(f"{words}\n{traceback.format_exc()}") from None


def keeps_its_meaning_when_formatted(seed: int) -> None:
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


def is_refused_or_taken_and_nothing_else(seed: int) -> None:
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
