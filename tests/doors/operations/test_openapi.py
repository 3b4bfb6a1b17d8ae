"""The documents of all doors: one union, one per door, one page."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

import stepwell

from .test_operations import served


@pytest.fixture
def app(tmp_path: Path) -> stepwell.App:
    return stepwell.App(db=f"sqlite:///{tmp_path}/door.db")


@pytest.fixture
async def client(app: stepwell.App) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app) as client:
        yield client


async def test_union_has_every_path_of_the_server(client: httpx.AsyncClient, app: stepwell.App) -> None:
    answer = await client.get("/openapi.json")
    documented = {(path, method.upper()) for path, methods in answer.json()["paths"].items() for method in methods}
    routes = {
        (re.sub(r":\w+}", "}", route.path), method)
        for route in app.asgi().routes
        if isinstance(route, Route) and route.path not in ("/", "/console")  # these lead to pages
        for method in route.methods or ()
        if method != "HEAD"
    }

    assert (answer.status_code, answer.json()["openapi"]) == (200, "3.1.0")
    assert documented == routes
    for schema in answer.json()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_operations_have_ids_of_their_own(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]

    assert len(ids) == len(set(ids))


async def test_documents_of_the_doors_make_up_the_union(client: httpx.AsyncClient) -> None:
    union = (await client.get("/openapi.json")).json()
    paths: dict[str, object] = {}
    for tag in union["tags"]:
        one = (await client.get(f"/openapi/{tag['name']}.json")).json()
        assert [found["name"] for found in one["tags"]] == [tag["name"]]
        paths |= one["paths"]

    assert paths.keys() == union["paths"].keys()


async def test_door_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/openapi/nothing.json")).status_code == 404


async def test_page_names_every_path_and_no_other_host(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    paths = (await client.get("/openapi.json")).json()["paths"]

    assert answer.headers["content-type"].startswith("text/html")
    assert all(f"<code>{path}</code>" in answer.text for path in paths)
    assert not re.search(r"https?:|src=|<script", answer.text)
