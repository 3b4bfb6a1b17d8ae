"""Templates over HTTP: drafts, versions that never change, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import stepwell
from stepwell.core.errors import StorageUnavailableError
from stepwell.core.principal import LOCAL
from stepwell.doors.agents.template_service import KIND, Templates
from stepwell.security.keys import ApiKeys, new_key
from stepwell.store.model import Definition, Record

from ..operations.test_operations import served

PATH = "/api/v1/workflow-templates"
WAIT = {"key": "wait", "type": "wait", "config": {"seconds": 0}}
APPROVAL = {"key": "review", "type": "approval", "config": {"prompt": "Go on?"}}


def document(name: str = "Import", *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "steps": list(steps) or [WAIT], **more}


@pytest.fixture
def app(tmp_path: Path) -> stepwell.App:
    return stepwell.App(db=f"sqlite:///{tmp_path}/door.db")


@pytest.fixture
async def client(app: stepwell.App) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app) as client:
        yield client


async def created(client: httpx.AsyncClient, sent: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=document() if sent is None else sent, **options)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def published(client: httpx.AsyncClient, sent: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    id = (await created(client, sent, **options))["id"]
    answer = await client.post(f"{PATH}/{id}/publish", **options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def error_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["errors"][0]
    return found


# --- the life of a template -----------------------------------------------------------------------------------------


async def test_new_template_is_a_draft(client: httpx.AsyncClient) -> None:
    sent = document(description="From here to there", variables=[{"name": "source", "type": "string"}])
    answer = await client.post(PATH, json=sent)
    template = answer.json()

    assert answer.status_code == 201
    assert answer.headers["location"] == f"{PATH}/{template['id']}"
    assert answer.headers["etag"] == '"1"'
    assert template["created_at"] == template["inserted_at"] == template["updated_at"]
    assert template == {
        **sent,
        "id": template["id"],
        "status": "draft",
        "version": None,
        "has_draft": True,
        "revision": 1,
        "owner_id": None,
        "created_at": template["created_at"],
        "inserted_at": template["created_at"],
        "updated_at": template["created_at"],
        "published_at": None,
        "archived_at": None,
    }
    assert (await client.get(answer.headers["location"])).json() == template


async def test_publishing_makes_versions_that_never_change(client: httpx.AsyncClient) -> None:
    first = await published(client)
    url = f"{PATH}/{first['id']}"
    again = (await client.post(f"{url}/publish")).json()
    edited = (await client.put(url, json=document("Import", APPROVAL))).json()
    second = (await client.post(f"{url}/publish")).json()

    assert (first["status"], first["version"], first["has_draft"]) == ("published", 1, False)
    assert again == first
    assert (edited["status"], edited["version"], edited["has_draft"]) == ("published", 1, True)
    assert edited["steps"] == [APPROVAL]
    assert (second["version"], second["has_draft"]) == (2, False)
    assert [(await client.get(f"{url}/versions/{number}")).json()["steps"] for number in (1, 2)] == [
        [WAIT],
        [APPROVAL],
    ]


async def test_versions_are_listed_newest_first_and_in_pages(client: httpx.AsyncClient) -> None:
    url = f"{PATH}/{(await published(client))['id']}"
    for name in ("Second", "Third"):
        await client.put(url, json=document(name))
        await client.post(f"{url}/publish")
    first = (await client.get(f"{url}/versions?limit=2")).json()
    rest = (await client.get(f"{url}/versions?cursor={first['meta']['pagination']['cursor']}")).json()

    assert [(one["version"], one["name"], one["current"]) for one in first["data"] + rest["data"]] == [
        (3, "Third", True),
        (2, "Second", False),
        (1, "Import", False),
    ]
    assert first["meta"]["pagination"]["total_count"] == 3
    assert rest["meta"]["pagination"] == {"total_count": 3, "has_more": False, "cursor": None}
    for number in ("0", "4", "x", "٣", "1" * 30):
        assert (await client.get(f"{url}/versions/{number}")).status_code == 404


async def test_archived_template_is_closed(client: httpx.AsyncClient) -> None:
    url = f"{PATH}/{(await published(client))['id']}"
    archived = [(await client.post(f"{url}/archive")).json() for _ in range(2)]
    refused = [await client.post(f"{url}/publish"), await client.put(url, json=document("Other"))]

    assert archived[0]["status"] == "archived"
    assert archived[0] == archived[1]
    assert [answer.status_code for answer in refused] == [409, 409]
    assert error_of(refused[0])["code"] == "INVALID_STATE_TRANSITION"
    assert error_of(refused[0])["details"] == {
        "from": "archived",
        "action": "publish",
        "allowed_from": ["draft", "published"],
    }
    assert (await client.get(f"{url}/versions/1")).status_code == 200


async def test_draft_is_not_archived(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{PATH}/{(await created(client))['id']}/archive")

    assert (answer.status_code, error_of(answer)["details"]["allowed_from"]) == (409, ["published"])


async def test_template_without_runs_is_deleted(client: httpx.AsyncClient) -> None:
    url = f"{PATH}/{(await published(client))['id']}"
    answer = await client.delete(url)

    assert (answer.status_code, answer.content) == (204, b"")
    assert [(await client.get(url)).status_code, (await client.delete(url)).status_code] == [404, 404]


async def test_template_with_runs_stays(client: httpx.AsyncClient, app: stepwell.App) -> None:
    template = await published(client)
    run = await app.engine.start(template["id"], {}, version="1")
    answer = await client.delete(f"{PATH}/{template['id']}")

    assert (answer.status_code, error_of(answer)["code"]) == (409, "TEMPLATE_IN_USE")
    assert error_of(answer)["details"] == {"run_id": run.run_id}
    assert (await client.get(f"{PATH}/{template['id']}")).status_code == 200


async def test_version_is_a_workflow_of_the_engine(client: httpx.AsyncClient, app: stepwell.App) -> None:
    template = await published(client)
    result = await app.engine.run(template["id"], {}, version="1", timeout_s=20)

    assert result.status == "completed"


# --- editing --------------------------------------------------------------------------------------------------------


async def test_what_was_read_can_be_sent_back(client: httpx.AsyncClient) -> None:
    template = await published(client)
    url = f"{PATH}/{template['id']}"
    same = (await client.put(url, json=template)).json()
    other = (await client.put(url, json={**template, "description": "x", "variables": None})).json()

    assert same == template
    assert (other["description"], other["has_draft"], other["revision"]) == ("x", True, template["revision"] + 1)
    assert "variables" not in other


async def test_edit_of_an_older_revision_is_refused(client: httpx.AsyncClient) -> None:
    template = await created(client)
    url = f"{PATH}/{template['id']}"
    good = await client.put(url, json=document("Second"), headers={"If-Match": '"1"'})
    stale = [
        await client.put(url, json=document("Third"), headers={"If-Match": '"1"'}),
        await client.post(f"{url}/publish", headers={"If-Match": '"1"'}),
        await client.delete(url, headers={"If-Match": '"1"'}),
    ]
    odd = await client.put(url, json=document("Third"), headers={"If-Match": "yes"})

    assert (good.status_code, good.headers["etag"]) == (200, '"2"')
    assert [(answer.status_code, error_of(answer)["code"]) for answer in stale] == [(412, "PRECONDITION_FAILED")] * 3
    assert error_of(stale[0])["details"] == {"expected": 1, "found": 2}
    assert (odd.status_code, error_of(odd)["field"]) == (422, "If-Match")
    assert (await client.get(url)).json()["name"] == "Second"


async def test_of_edits_of_one_revision_at_once_one_wins(client: httpx.AsyncClient) -> None:
    url = f"{PATH}/{(await created(client))['id']}"

    def edit(number: int) -> Any:
        return client.put(url, json=document(f"Edit {number}"), headers={"If-Match": '"1"'})

    answers = await asyncio.gather(*(edit(number) for number in range(10)))
    winners = [answer for answer in answers if answer.status_code == 200]

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
    assert (await client.get(url)).json() == winners[0].json()


async def test_edits_at_once_that_name_no_revision_all_count(client: httpx.AsyncClient) -> None:
    url = f"{PATH}/{(await created(client))['id']}"
    await asyncio.gather(*(client.put(url, json=document(f"Edit {number}")) for number in range(10)))

    assert (await client.get(url)).json()["revision"] == 11


async def test_publishing_at_once_makes_one_version(client: httpx.AsyncClient) -> None:
    url = f"{PATH}/{(await created(client))['id']}"
    answers = await asyncio.gather(*(client.post(f"{url}/publish") for _ in range(10)))

    assert [answer.json()["version"] for answer in answers] == [1] * 10


# --- faults ---------------------------------------------------------------------------------------------------------


async def test_every_fault_of_a_document_is_told_at_once(client: httpx.AsyncClient) -> None:
    steps: list[dict[str, Any]] = [
        {"key": "a", "type": "task", "config": {"action": "http.request"}},
        {"key": "b", "type": "approval", "depends_on": ["nobody"], "config": {"required": 0}},
        {"key": "c", "type": "dance"},
    ]
    answer = await client.post(PATH, json=document("Import", *steps, colour="red"))

    assert (answer.status_code, error_of(answer)["code"]) == (422, "VALIDATION_ERROR")
    assert error_of(answer)["details"].keys() >= {
        "colour",
        "steps.0.config.url",
        "steps.1.config.required",
        "steps.2.type",
    }
    assert (await client.get(PATH)).json()["data"] == []


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "name"),
        ({"name": "x"}, "steps"),
        ({"name": "x", "steps": []}, "steps"),
        ({"name": 7, "steps": [WAIT]}, "name"),
        ({"name": " ", "steps": [WAIT]}, "name"),
        ({"name": "x" * 201, "steps": [WAIT]}, "name"),
        ({"name": "a\u0000b", "steps": [WAIT]}, "name"),
        ({"name": "x", "steps": [WAIT, WAIT]}, "steps.1.key"),
        (
            {
                "name": "x",
                "steps": [{**WAIT, "depends_on": ["b"]}, {**WAIT, "key": "b", "depends_on": ["wait"]}],
            },
            "steps",
        ),
    ],
)
async def test_document_that_is_none_is_refused_by_its_field(
    client: httpx.AsyncClient, sent: dict[str, Any], field: str
) -> None:
    answer = await client.post(PATH, json=sent)

    assert answer.status_code == 422
    assert any(name.startswith(field) for name in error_of(answer)["details"]), answer.text


async def test_edit_with_faults_changes_nothing(client: httpx.AsyncClient) -> None:
    template = await created(client)
    url = f"{PATH}/{template['id']}"

    assert (await client.put(url, json={"name": "x", "steps": []})).status_code == 422
    assert (await client.get(url)).json() == template


async def test_draft_is_checked_again_when_it_is_published(app: stepwell.App, tmp_path: Path) -> None:
    @app.function
    def import_rows() -> int:
        return 1

    call = {"key": "import", "type": "task", "config": {"action": "function", "function": "import_rows"}}
    async with served(app) as client:
        id = (await created(client, document("Import", call)))["id"]
    async with served(stepwell.App(db=f"sqlite:///{tmp_path}/door.db")) as client:
        answer = await client.post(f"{PATH}/{id}/publish")

    assert answer.status_code == 422
    assert list(error_of(answer)["details"]) == ["steps.0.config.function"]


# --- lists ----------------------------------------------------------------------------------------------------------


async def test_templates_are_listed_newest_first_by_status_and_name(client: httpx.AsyncClient) -> None:
    for name in ("Alpha", "beta", "Gamma ALPHA"):
        await created(client, document(name))
    beta = (await client.get(f"{PATH}?search=beta")).json()["data"][0]
    await client.post(f"{PATH}/{beta['id']}/publish")

    async def names(query: str) -> list[str]:
        return [one["name"] for one in (await client.get(f"{PATH}?{query}")).json()["data"]]

    assert await names("") == ["Gamma ALPHA", "beta", "Alpha"]
    assert await names("search=alpha") == ["Gamma ALPHA", "Alpha"]
    assert await names("status=published") == ["beta"]
    assert await names("status=draft,published&offset=1") == ["beta", "Alpha"]
    assert await names("status=archived") == []


async def test_cursor_goes_on_where_the_page_ended_whatever_was_added(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await created(client, document(f"T{number}"))
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"{PATH}?limit=2{cursor and '&cursor=' + cursor}")).json()
        seen += [one["name"] for one in page["data"]]
        assert page["meta"]["pagination"]["has_more"] == (page["meta"]["pagination"]["cursor"] is not None)
        if not page["meta"]["pagination"]["has_more"]:
            break
        cursor = page["meta"]["pagination"]["cursor"]
        await created(client, document("later"))

    assert seen == ["T4", "T3", "T2", "T1", "T0"]


# --- whose they are -------------------------------------------------------------------------------------------------


async def key_of(app: stepwell.App, name: str) -> dict[str, str]:
    key, text = new_key(name, now=app.engine.clock.now())
    await ApiKeys(app.engine.store, row=Record).create(key)
    return {"x-api-key": text}


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/publish"),
        ("POST", "/archive"),
        ("GET", "/versions"),
        ("GET", "/versions/1"),
    ],
)
async def test_template_of_somebody_else_is_not_there(
    client: httpx.AsyncClient, app: stepwell.App, method: str, rest: str
) -> None:
    ann, bob = await key_of(app, "ann"), await key_of(app, "bob")
    template = await published(client, headers=ann)
    json = document() if method == "PUT" else None
    foreign = await client.request(method, f"{PATH}/{template['id']}{rest}", headers=bob, json=json)
    unknown = await client.request(method, f"{PATH}/{template['id'][::-1]}{rest}", headers=bob, json=json)

    assert (foreign.status_code, error_of(foreign)["code"]) == (404, "NOT_FOUND")
    assert unknown.status_code == 404
    assert (await client.get(PATH, headers=bob)).json()["data"] == []
    assert (await client.get(f"{PATH}/{template['id']}", headers=ann)).json() == template
    assert template["owner_id"] == "ann"


async def test_template_of_somebody_else_is_no_child(client: httpx.AsyncClient, app: stepwell.App) -> None:
    ann, bob = await key_of(app, "ann"), await key_of(app, "bob")
    child = (await published(client, headers=ann))["id"]
    sub = {"key": "sub", "type": "subworkflow", "config": {"template_id": child}}
    by_other_name = {"key": "sub", "type": "subworkflow", "config": {"workflow_id": child}}
    each = {"key": "each", "type": "foreach", "config": {"items": [1], "steps": [sub]}}

    answers = [await client.post(PATH, json=document("P", step), headers=bob) for step in (sub, by_other_name, each)]
    own = await client.post(PATH, json=document("P", each), headers=ann)

    assert [answer.status_code for answer in answers] == [422] * 3
    assert [list(error_of(answer)["details"]) for answer in answers] == [
        ["steps.0.config.template_id"],
        ["steps.0.config.workflow_id"],
        ["steps.0.config.steps.0.config.template_id"],
    ]
    assert own.status_code == 201


# --- what may happen in between -------------------------------------------------------------------------------------


async def test_created_twice_under_one_key_is_one_template(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "import-1"}
    first, again = [await created(client, headers=key) for _ in range(2)]

    assert first == again
    assert (await client.get(PATH)).json()["meta"]["pagination"]["total_count"] == 1


async def test_publish_that_was_cut_off_is_made_up_by_whoever_comes_next(
    client: httpx.AsyncClient, app: stepwell.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{PATH}/{(await created(client))['id']}"

    async def full(_definition: Definition) -> None:
        raise StorageUnavailableError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(app.engine.store, "save_definition", full)
        cut_off = await client.post(f"{url}/publish")
    edited = await client.put(url, json=document("Other"))
    first = await client.get(f"{url}/versions/1")

    assert cut_off.status_code == 503
    assert (edited.json()["version"], edited.json()["has_draft"]) == (1, True)
    assert first.json()["name"] == "Import"


async def test_document_that_comes_with_a_run_is_kept_once_and_never_listed(
    client: httpx.AsyncClient, app: stepwell.App
) -> None:
    templates = Templates(app.engine, LOCAL)
    first, same = [await templates.inline(document("Inline")) for _ in range(2)]
    other = await templates.inline(document("Inline", APPROVAL))

    assert first == same
    assert (first.version, first.name) == ("1", "Inline")
    assert other.workflow != first.workflow
    assert (await app.engine.workflows.find(first.workflow)).kind == KIND
    assert (await client.get(PATH)).json()["data"] == []
    assert (await client.get(f"{PATH}/{first.workflow}")).status_code == 404
