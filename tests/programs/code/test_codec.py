"""A record is read in processes that know the program by another name."""

import sys
from types import ModuleType
from typing import Any

import pytest
from workflows.events import Event

from stepwell.programs.code.codec import RecordSerializer


class Part(Event):
    number: int


@pytest.fixture
def started_as_main(monkeypatch: pytest.MonkeyPatch) -> type[Event]:
    """`Part`, as it is in a process that was started with this file."""
    main = ModuleType("__main__")
    main.__file__ = __file__
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(Part, "__module__", "__main__")
    return Part


def written(name: str) -> dict[str, Any]:
    return {"__is_pydantic": True, "value": {"number": 1}, "qualified_name": name}


def test_what_a_started_program_wrote_is_read_where_it_is_imported() -> None:
    reader = RecordSerializer(allowed_types=[Part])
    assert reader.deserialize_value(written("__main__.Part")) == Part(number=1)


@pytest.mark.parametrize("other", ["json.Part", "nowhere.Part"])
def test_only_the_started_file_is_taken_for_it(started_as_main: type[Event], other: str) -> None:
    reader = RecordSerializer(allowed_types=[started_as_main])
    with pytest.raises((ImportError, AttributeError)):
        reader.deserialize_value(written(other))


def test_what_an_importing_program_wrote_is_read_where_it_was_started(started_as_main: type[Event]) -> None:
    reader = RecordSerializer(allowed_types=[started_as_main])
    assert type(reader.deserialize_value(written(f"{__name__}.Part"))) is started_as_main
