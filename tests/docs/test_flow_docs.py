"""The pages about the flow language: each example is run, and each keyword of the language is in the table.

Below an example its page says what becomes of it: "With the input `...` the output is `...`", "The output is `...`",
"it fails with status ...". What else a run needs is in a comment above: `<!-- run: {secrets: ..., events: ...} -->`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from standard.world import World
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.status import Status
from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.canonical import canonical
from stepwell.programs.flow.reading import read

PAGES = Path(__file__).parents[2] / "docs" / "flow"

_BLOCK = re.compile(
    r"(?:<!-- run: (?P<options>[^\n]*) -->\n)?```yaml\n(?P<text>.*?)```\n"
    r"(?P<after>.*?)(?=```|<!-- run|\Z)",
    re.DOTALL,
)
_SENTENCE = re.compile(
    r"(?:[Ww]ith the input `(?P<input>.*?)` )?"
    r"(?:[Tt]he output is `(?P<output>.*?)`\.|[Ii]t fails with status (?P<status>\d+)\.)"
)


class Example(msgspec.Struct, frozen=True):
    page: str
    text: str
    options: dict[str, Any]
    sentences: list[dict[str, str]]


def examples() -> Iterator[Any]:
    for page in sorted(PAGES.glob("*.md")):
        for number, match in enumerate(_BLOCK.finditer(page.read_text())):
            sentences = [found.groupdict() for found in _SENTENCE.finditer(match["after"])]
            options = read(match["options"]).value if match["options"] else {}
            yield pytest.param(Example(page.name, match["text"], options, sentences), id=f"{page.stem}-{number}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("docs")) as found:
        yield found


@pytest.mark.parametrize("example", list(examples()))
def test_example_does_what_its_page_says(example: Example, world: World) -> None:
    ends = example.options.get("ends")
    if ends == "refused":
        with pytest.raises(InvalidDefinitionError, match="not supported"):
            world.app({}).parts.flows.check(example.text)
    elif example.options.get("start") == "none":
        world.app({}).parts.flows.compile(example.text)
    elif ends == "waiting":
        assert world.run(example.text, {}, forever=True).status is Status.WAITING
    else:
        assert example.sentences, "an example says what becomes of it"
        for sentence in example.sentences:
            check(sentence, example, world)


def check(sentence: dict[str, str], example: Example, world: World) -> None:
    given = msgspec.json.decode(sentence["input"] or "{}")
    options = {name: example.options[name] for name in ("secrets", "events", "beside") if name in example.options}
    ended = world.run(example.text, given, **options)
    if sentence["status"]:
        assert ended.error is not None
        assert ended.error.status == int(sentence["status"]), ended.error
    else:
        assert ended.status is Status.COMPLETED, ended.error
        assert ended.output == msgspec.json.decode(sentence["output"])


@pytest.mark.parametrize("example", list(examples()))
def test_example_can_be_formatted(example: Example) -> None:
    assert read(canonical(example.text)).value == read(example.text).value


def test_there_are_ten_short_pages() -> None:
    pages = set(re.findall(r"^\d+\. \[.*?\]\((.*?)\)", (PAGES / "README.md").read_text(), re.MULTILINE))
    assert len(pages) == 10
    assert pages | {"README.md", "keywords.md"} == {path.name for path in PAGES.glob("*.md")}
    assert all(len((PAGES / page).read_text().splitlines()) <= 120 for page in pages)


def test_every_keyword_is_in_the_table() -> None:
    table = (PAGES / "keywords.md").read_text()
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    words = {word for row in rows for name in re.findall(r"`([^`]+)`", row) for word in re.split(r"[.\s:]+", name)}
    missing = {f"{kind.__name__}.{name}" for kind in parts() for name in names_of(kind) if name not in words}
    assert not missing


def parts(kind: type[Part] = Part) -> Iterator[type[Part]]:
    for part in kind.__subclasses__():
        if not part.__module__.startswith("stepwell.programs.flow."):
            continue  # templates and definitions are made of parts too
        yield part
        yield from parts(part)


def names_of(kind: type[Part]) -> list[str]:
    ours = ("at", "attributes", "literals")  # what readers add
    return [field.encode_name for field in msgspec.structs.fields(kind) if field.name not in ours]
