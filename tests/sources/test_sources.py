"""Data sources: which record is found in files and databases, and what cannot be."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from stepwell.sources.port import SourceError, SourceOptions, Wanted
from stepwell.sources.registry import SourceRegistry

PEOPLE: list[dict[str, Any]] = [
    {"name": "Ada", "age": 36, "city": "London"},
    {"name": "Grace", "age": 85, "city": "New York"},
    {"name": "Linus", "age": 54, "city": None},
]


@pytest.fixture(params=["csv", "jsonl", "sql"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> SourceOptions:
    """The same records in each kind of source."""
    match request.param:
        case "csv":
            path = tmp_path / "people.csv"
            rows = [",".join("" if value is None else str(value) for value in person.values()) for person in PEOPLE]
            path.write_text("\n".join(["name,age,city", *rows]))
            return SourceOptions(type="csv", path=str(path))
        case "jsonl":
            path = tmp_path / "people.jsonl"
            path.write_text("\n".join(map(json.dumps, PEOPLE)) + "\n\n")
            return SourceOptions(type="jsonl", path=str(path))
    path = tmp_path / "people.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE people (name TEXT, age INTEGER, city TEXT)")
        database.executemany("INSERT INTO people VALUES (:name, :age, :city)", PEOPLE)
    database.close()
    return SourceOptions(type="sql", connection_string=f"sqlite:///{path}")


async def first(options: SourceOptions, find: Any, **more: Any) -> Any:
    """The record that is found, by a registry that knows one source."""

    async def known(name: str) -> SourceOptions | None:
        return options if name == "people" else None

    registry = SourceRegistry(known)
    try:
        return await registry.first("people", Wanted(find=find, collection="people", **more))
    finally:
        await registry.aclose()


@pytest.mark.parametrize(
    ("find", "name"),
    [
        ({}, "Ada"),
        ({"name": "Grace"}, "Grace"),
        ({"age": 54}, "Linus"),
        ({"age": {"$gt": 50}}, "Grace"),
        ({"age": {"$gt": 50, "$lt": 60}}, "Linus"),
        ({"age": {"$lte": 36}}, "Ada"),
        ({"name": {"$ne": "Ada"}, "city": {"$ne": "New York"}}, "Linus"),
        ({"name": "Nobody"}, None),
        ({"name": "Robert'); DROP TABLE people;--"}, None),
    ],
)
async def test_a_record_is_found_by_its_fields(source: SourceOptions, find: Any, name: str | None) -> None:
    found = await first(source, find)
    if source.type == "sql" and name == "Linus" and "city" in find:
        name = None  # as in SQL, nothing is unequal to NULL
    assert (found and found["name"]) == name


@pytest.mark.parametrize(
    "find", [{"name": {"$where": "1"}}, {"$where": "1"}, {"name": {"$regex": "A"}}], ids=["where", "top", "regex"]
)
async def test_operators_that_are_not_known_are_refused(source: SourceOptions, find: Any) -> None:
    with pytest.raises(SourceError, match=r"no operator|no such column"):
        await first(source, find)


@pytest.mark.parametrize(
    ("find", "name"),
    [
        ({"$or": [{"name": "Linus"}, {"name": "Grace"}]}, "Grace"),
        ({"$and": [{"age": {"$gte": 50}}, {"name": {"$nin": ["Grace"]}}]}, "Linus"),
        ({"$nor": [{"name": "Ada"}]}, "Grace"),
        ({"name": {"$in": ["Linus"]}}, "Linus"),
        ({"street": {"$exists": True}}, None),
    ],
)
async def test_files_know_more_operators(tmp_path: Path, find: Any, name: str | None) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join(map(json.dumps, PEOPLE)))
    found = await first(SourceOptions(type="jsonl", path=str(path)), find)
    assert (found and found["name"]) == name


async def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("name\nAda\n")

    async def known(_name: str) -> SourceOptions:
        return SourceOptions(type="csv", path=str(path))

    registry = SourceRegistry(known)
    assert await registry.first("people", Wanted(find={})) == {"name": "Ada"}
    path.write_text("name\nGrace Hopper\n")
    assert await registry.first("people", Wanted(find={})) == {"name": "Grace Hopper"}


async def test_one_of_several_records_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("name\nAda\nGrace\nLinus\n")
    options = SourceOptions(type="csv", path=str(path))
    assert (await first(options, {}, choose=lambda count: count - 1))["name"] == "Linus"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"name\n\xff\n", "not UTF-8"), (None, "cannot be read")],
)
async def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "people.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=said):
        await first(SourceOptions(type="csv", path=str(path)), {})


async def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text('{"name": "Ada"}\n[1]\n')
    with pytest.raises(SourceError, match="line 2: expected a JSON object"):
        await first(SourceOptions(type="jsonl", path=str(path)), {})


async def test_what_json_has_no_word_for_is_text(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE people (photo BLOB)")
        database.execute("INSERT INTO people VALUES (x'00ff')")
    database.close()
    found = await first(SourceOptions(type="sql", connection_string=f"sqlite:///{path}"), {})
    assert found == {"photo": "AP8="}


async def test_a_database_is_only_read(tmp_path: Path) -> None:
    options = SourceOptions(type="sql", connection_string=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(SourceError, match="unable to open"):
        await first(options, {})
    assert not (tmp_path / "none.db").exists()


async def test_a_source_that_nobody_configured() -> None:
    async def known(_name: str) -> None:
        return None

    with pytest.raises(SourceError, match="MongoDB connection not found: people"):
        await SourceRegistry(known).first("people", Wanted(find={}))
