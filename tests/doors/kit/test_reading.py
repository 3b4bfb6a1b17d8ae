"""Bodies and queries become typed values, or a list of everything that is wrong with them."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from starlette.datastructures import QueryParams

from stepwell.doors.kit import (
    Fault,
    InvalidRequestError,
    NotJsonError,
    OffsetPage,
    decode_json,
    decode_part,
    read_query,
    read_value,
)
from stepwell.security.refusals import AccessError, Reason


class Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    number: int
    kind: Literal["wood", "iron"] = "wood"


class Whole(msgspec.Struct, kw_only=True):
    name: Annotated[str, Meta(min_length=1)]
    parts: list[Part] = []
    named: dict[str, Part] = {}
    best: Part | None = None
    either: int | str = 0


class Filters(OffsetPage, frozen=True, kw_only=True):
    status: tuple[Literal["open", "closed"], ...] = ()
    deep: bool = False


def faults_of(value: Any, wanted: Any = Whole) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        read_value(value, wanted)
    return [str(fault) for fault in caught.value.faults]


def query_faults(text: str) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        read_query(QueryParams(text), Filters)
    return [str(fault) for fault in caught.value.faults]


def test_every_fault_is_found_with_its_place() -> None:
    value = {
        "parts": [{"number": 1}, {"number": "x", "colour": "red"}, {"kind": "stone"}],
        "named": {"a": {"number": None}},
        "best": {},
        "either": 1.5,
    }

    assert faults_of(value) == [
        "name: is required",
        "parts.1.number: expected a whole number, found 'x'",
        "parts.1.colour: is not known (there are: number, kind)",
        "parts.2.number: is required",
        "parts.2.kind: expected one of wood, iron, found 'stone'",
        "named.a.number: expected a whole number, found null",
        "best.number: is required",
        "either: expected a whole number or text, found 1.5",
    ]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "expected an object, found an array of 0"),
        (7, "expected an object, found 7"),
        ({"name": ""}, "name: expected text of length >= 1, found ''"),
        ({"name": "a", "parts": {}}, "parts: expected an array, found an object"),
        ({"name": 10**70}, f"name: expected text, found a number of {71} digits"),
        ({"name": ["x"]}, "name: expected text, found an array of 1"),
    ],
)
def test_fault_says_what_was_expected_and_what_was_found(value: Any, fault: str) -> None:
    assert faults_of(value) == [fault]


def test_no_more_than_fifty_faults_are_told() -> None:
    assert len(faults_of({"name": "a", "parts": [{}] * 1000})) == 50


def test_fault_of_a_document_keeps_its_pointer() -> None:
    assert str(Fault.at("/steps/0/a~1b", "is odd")) == "steps.0.a/b: is odd"
    assert str(Fault.at("", "is odd")) == "is odd"


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'{"a": Infinity}', b"1e999", b'"\\ud800"', b'"\xff"', b"[1,]"])
def test_text_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(NotJsonError, match="expected JSON"):
        decode_json(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b'{"a": 1, "a": 2}', Reason.JSON_DUPLICATE_KEY), (b"[" * 65 + b"]" * 65, Reason.JSON_TOO_DEEP)],
)
def test_part_of_a_form_is_checked_like_a_body(text: bytes, reason: Reason) -> None:
    with pytest.raises(AccessError) as caught:
        decode_part(text)
    assert caught.value.refusal.reason is reason


def test_query_is_read_with_defaults_lists_and_repeats() -> None:
    assert read_query(QueryParams(""), Filters) == Filters()
    assert read_query(QueryParams("limit=5&status=open,closed&deep=true&else=1&offset="), Filters) == Filters(
        limit=5, status=("open", "closed"), deep=True
    )
    assert read_query(QueryParams("status=open&status=closed"), Filters).status == ("open", "closed")


def test_query_faults_name_the_parameter() -> None:
    assert query_faults("limit=101&offset=-1&status=open,late&deep=maybe&cursor=a&cursor=b") == [
        "cursor: expected one value, found 2",
        "limit: expected a whole number <= 100, found '101'",
        "offset: expected a whole number >= 0, found '-1'",
        "status: expected one of open, closed, found 'late'",
        "deep: expected true or false, found 'maybe'",
    ]
