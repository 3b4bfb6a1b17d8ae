"""OpenAPI documents: what is declared is what is read, and what is read is documented."""

from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from stepwell.doors.kit import Answer, Api, Call, Reply
from stepwell.doors.kit.openapi import document
from stepwell.doors.problem import PROBLEMS, ProblemBody
from stepwell.security.authentication import DoorRules

from .things import Thing, Things


def described(*apis: Api) -> dict[str, Any]:
    return document(apis or [Things().api], title="Things", version="1")


def parameters(operation: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(found["in"], found["name"]): found for found in operation["parameters"]}


def test_body_answers_and_failures_are_those_declared() -> None:
    whole = described()
    make = whole["paths"]["/things"]["post"]

    assert make["operationId"] == "things_make_thing"
    assert (make["summary"], make["description"]) == ("Make a thing", "Makes it.")
    assert make["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewThing"}}},
    }
    assert {status: list(answer["content"]) for status, answer in make["responses"].items()} == {
        "201": ["application/json"],
        "422": ["application/problem+json"],
        "default": ["application/problem+json"],
    }
    assert whole["components"]["schemas"]["NewThing"]["properties"]["size"] == {
        "type": "integer",
        "minimum": 0,
        "default": 0,
    }
    assert ("header", "Idempotency-Key") in parameters(make)


def test_query_parameters_are_the_fields_of_the_struct() -> None:
    found = parameters(described()["paths"]["/things"]["get"])

    assert found["query", "limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    assert found["query", "limit"]["description"] == "how many at most"
    assert (found["query", "colour"]["style"], found["query", "colour"]["explode"]) == ("form", False)
    assert found["query", "colour"]["schema"] == {"type": "array", "items": {"type": "string"}}
    assert not any(place == "header" for place, _ in found)


def test_answer_may_have_one_of_several_shapes() -> None:
    api = Api("either", title="Either", prefixes=["/either"], errors=PROBLEMS, error_type=ProblemBody)

    @api.get("/either", summary="Get", answers={200: Answer(type=Elsewhere.Thing | Thing)})
    async def get(_call: Call) -> Reply:
        return Reply()

    whole = described(api)
    answer = whole["paths"]["/either"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]

    assert len(answer["anyOf"]) == 2
    assert len(whole["components"]["schemas"]) == 3


def test_path_parameters_are_required_and_an_empty_answer_has_no_content() -> None:
    drop = described()["paths"]["/things/{id}"]["delete"]

    assert parameters(drop)["path", "id"]["required"]
    assert drop["responses"]["204"] == {"description": "No Content"}
    assert "requestBody" not in drop


def test_every_schema_is_a_schema() -> None:
    for schema in described()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_types_of_one_name_in_two_doors_stay_two() -> None:
    first, second = Things().api, other_door("others")
    whole = described(first, second)

    refs = [
        whole["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        for path in ("/things/{id}", "/others")
    ]
    assert refs[0] != refs[1]
    for ref in refs:
        assert ref["$ref"].removeprefix("#/components/schemas/") in whole["components"]["schemas"]


class Elsewhere:
    class Thing(msgspec.Struct):
        """Another thing."""

        colour: str


def other_door(name: str, rules: DoorRules | None = None) -> Api:
    api = Api(name, title=name, prefixes=[f"/{name}"], errors=PROBLEMS, error_type=ProblemBody, rules=rules)

    @api.get(f"/{name}", summary="Get", answers={200: Answer(type=Elsewhere.Thing)})
    async def get(_call: Call) -> Reply:
        return Reply()

    return api


@pytest.mark.parametrize("open", [True, False])
def test_open_path_needs_no_credential(open: bool) -> None:
    api = other_door("open", DoorRules(is_open=lambda path: open and path == "/open"))

    operation = described(api)["paths"]["/open"]["get"]

    assert ("security" in operation) == open


def test_parameter_with_a_convertor_is_named_plainly() -> None:
    api = Api("files", title="Files", prefixes=["/files"], errors=PROBLEMS, error_type=ProblemBody)

    @api.get("/files/{name:path}", summary="Get", answers={200: Answer()})
    async def get(_call: Call) -> Reply:
        return Reply()

    paths = described(api)["paths"]

    assert list(paths) == ["/files/{name}"]
    assert parameters(paths["/files/{name}"]["get"]).keys() == {("path", "name")}
