"""`/api/v1/workflow-templates`: templates are drafted, published in numbered versions, archived."""

from typing import Any, Final

from stepwell.doors.agents.api import api
from stepwell.doors.agents.template_service import Template, Templates
from stepwell.doors.agents.template_wire import (
    TemplateDocument,
    TemplateList,
    TemplateQuery,
    TemplateView,
    VersionList,
    VersionView,
    document_of,
    etag,
    expected_revision,
    pagination,
    version_summary,
    version_view,
    view,
)
from stepwell.doors.kit import Answer, Call, Cursor, Found, MissingError, OffsetPage, Reply

PATH: Final = "/api/v1/workflow-templates"
ONE: Final = f"{PATH}/{{id}}"

_MATCH: Final = {"If-Match": 'change this revision only: the ETag of the template, like "3"'}
_ETAG: Final = {"ETag": "the revision of the template"}
_UNKNOWN: Final = {404: "there is no such template, or it is somebody else's"}
_CHANGED: Final = {**_UNKNOWN, 412: "the template is of another revision than If-Match says"}
_INVALID: Final = {422: "the document has faults: `details` names each by its place"}
_DOCUMENT: Final = {"application/json": TemplateDocument}


@api.get(PATH, summary="List templates", answers={200: Answer(type=TemplateList)})
async def list_templates(call: Call, query: TemplateQuery) -> Reply:
    """Newest first. Archived templates are listed too, unless `status` says otherwise."""
    found = await _templates(call).list(
        statuses=query.status, search=query.search, start=query.start, limit=query.limit
    )
    return Reply(body={"data": [view(template) for template in found.items], "meta": pagination(found)})


@api.post(
    PATH,
    summary="Create a template",
    bodies=_DOCUMENT,
    answers={201: Answer(type=TemplateView, headers={**_ETAG, "Location": "the path of the template"})},
    fails=_INVALID,
)
async def create_template(call: Call, body: dict[str, Any]) -> Reply:
    """A draft: publish it to start runs of it. It is checked as a whole at once."""
    template = await _templates(call).create(document_of(body), key=call.start_key)
    headers = {**etag(template), "Location": f"{PATH}/{template.id}"}
    return Reply(status=201, body=view(template), headers=headers)


@api.get(ONE, summary="Get a template", answers={200: Answer(type=TemplateView, headers=_ETAG)}, fails=_UNKNOWN)
async def get_template(call: Call) -> Reply:
    """With its document as it was last given, published or not."""
    return _reply(await _templates(call).get(_id(call)))


@api.put(
    ONE,
    summary="Replace a template's document",
    bodies=_DOCUMENT,
    headers=_MATCH,
    answers={200: Answer(type=TemplateView, headers=_ETAG)},
    fails={**_CHANGED, **_INVALID, 409: "the template is archived"},
)
async def edit_template(call: Call, body: dict[str, Any]) -> Reply:
    """The change is a draft until it is published; until then runs start from the version before."""
    revision = expected_revision(call.request)
    return _reply(await _templates(call).edit(_id(call), document_of(body), revision=revision))


@api.delete(
    ONE,
    summary="Delete a template",
    headers=_MATCH,
    answers={204: Answer(meaning="deleted")},
    fails={**_CHANGED, 409: "there are runs of it: archive it instead"},
)
async def delete_template(call: Call) -> Reply:
    """Possible while there is no run of any of its versions."""
    await _templates(call).delete(_id(call), revision=expected_revision(call.request))
    return Reply(status=204)


@api.post(
    f"{ONE}/publish",
    summary="Publish a template",
    headers=_MATCH,
    answers={200: Answer(type=TemplateView, headers=_ETAG)},
    fails={**_CHANGED, **_INVALID, 409: "the template is archived"},
)
async def publish_template(call: Call) -> Reply:
    """The document becomes the next version, which never changes. Without an edit since the last, nothing happens."""
    return _reply(await _templates(call).publish(_id(call), revision=expected_revision(call.request)))


@api.post(
    f"{ONE}/archive",
    summary="Archive a template",
    headers=_MATCH,
    answers={200: Answer(type=TemplateView, headers=_ETAG)},
    fails={**_CHANGED, 409: "the template was never published"},
)
async def archive_template(call: Call) -> Reply:
    """No new runs start from it; those there are go on, and can be retried."""
    return _reply(await _templates(call).archive(_id(call), revision=expected_revision(call.request)))


@api.get(
    f"{ONE}/versions", summary="List a template's versions", answers={200: Answer(type=VersionList)}, fails=_UNKNOWN
)
async def list_versions(call: Call, query: OffsetPage) -> Reply:
    """Newest first."""
    templates = _templates(call)
    template = await templates.get(_id(call))
    first = template.published - query.start.offset
    numbers = range(first, max(0, first - query.limit), -1)
    items = [
        version_summary(await templates.version(template, number), current=template.published) for number in numbers
    ]
    more = first > query.limit
    next = Cursor(offset=query.start.offset + query.limit) if more else None
    found = Found(items=items, total=template.published, next=next)
    return Reply(body={"data": items, "meta": pagination(found)})


@api.get(
    f"{ONE}/versions/{{version}}",
    summary="Get a version of a template",
    answers={200: Answer(type=VersionView)},
    fails={404: "there is no such template or version"},
)
async def get_version(call: Call) -> Reply:
    """With its document as it was published."""
    templates = _templates(call)
    template = await templates.get(_id(call))
    text = call.path("version")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise MissingError("version", text[:80])
    return Reply(body=version_view(await templates.version(template, int(text))))


def _templates(call: Call) -> Templates:
    return Templates(call.engine, call.principal)


def _id(call: Call) -> str:
    return call.id("id", "template")


def _reply(template: Template) -> Reply:
    return Reply(body=view(template), headers=etag(template))
