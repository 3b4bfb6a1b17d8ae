"""The shapes of templates in JSON."""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from stepwell.doors.agents.envelope import ListMeta, Pagination
from stepwell.doors.agents.template_service import Template
from stepwell.doors.kit import Fault, Found, InvalidRequestError, OffsetPage, instant, write_cursor
from stepwell.programs.plan.templates import wire
from stepwell.store.model import Definition

TemplateStatus = Literal["draft", "published", "archived"]
Seconds = Annotated[float, Meta(gt=0, description="seconds")]


class _Document(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a template says beside its steps."""

    name: str
    description: str | UnsetType = UNSET
    additional_variables: Annotated[bool, Meta(description="take input that is not declared")] | UnsetType = UNSET
    output: Annotated[Any, Meta(description="the run's output; without it, that of the last step")] = UNSET
    timeout_seconds: Seconds | UnsetType = UNSET
    max_parallel: Annotated[int, Meta(ge=1, description="steps at once")] | UnsetType = UNSET
    env: Annotated[dict[str, str], Meta(description="what steps read as env.<name>")] | UnsetType = UNSET
    compensate_on: Annotated[list[Literal["failure"]], Meta(description="when to undo")] | UnsetType = UNSET


class TemplateDocument(_Document, kw_only=True, omit_defaults=True):
    """A template as it is given: its declared variables and its steps."""

    steps: list[wire.Step]
    variables: list[wire.Variable] | UnsetType = UNSET


class _Kept(_Document, kw_only=True, omit_defaults=False):
    """A document as it comes back: as it was given, its steps with whatever stood in them."""

    steps: list[dict[str, Any]]
    variables: list[dict[str, Any]] | UnsetType = UNSET


class TemplateView(_Kept, kw_only=True, omit_defaults=False):
    """A template: its document as it was last given, and how far it has come.

    `version` is the newest published one (null: none), `has_draft` says that the document is not published yet.
    `revision` counts changes; it is the `ETag`, for `If-Match`.
    """

    id: str
    status: TemplateStatus
    version: int | None
    has_draft: bool
    revision: int
    owner_id: str | None
    created_at: str
    inserted_at: str
    updated_at: str
    published_at: str | None
    archived_at: str | None


class VersionView(_Kept, kw_only=True, omit_defaults=False):
    """A published version, with the document as it was then."""

    id: str
    version: int
    published_at: str


class VersionSummary(msgspec.Struct, kw_only=True):
    """A published version in a list; new runs are of the `current` one."""

    version: int
    name: str
    current: bool
    published_at: str


class TemplateList(msgspec.Struct, kw_only=True):
    """A page of templates."""

    data: list[TemplateView]
    meta: ListMeta


class VersionList(msgspec.Struct, kw_only=True):
    """A page of versions, newest first."""

    data: list[VersionSummary]
    meta: ListMeta


class TemplateQuery(OffsetPage, frozen=True, kw_only=True):
    """Which templates."""

    status: Annotated[tuple[TemplateStatus, ...], Meta(description="only these")] = ()
    search: Annotated[str, Meta(max_length=200, description="a part of the name, in any case")] = ""


OURS: Final = frozenset({field.name for field in msgspec.structs.fields(TemplateView)}) - frozenset(
    {field.name for field in msgspec.structs.fields(_Kept)}
)
"""What we add to a document: left out of one that comes back, so that what was read can be sent again."""
_ETAG: Final = re.compile(r'(?:W/)?"([0-9]{1,9})"|([0-9]{1,9})')


def document_of(body: dict[str, Any]) -> dict[str, Any]:
    """The document in a body; what is null in it is not there."""
    return {name: value for name, value in body.items() if value is not None and name not in OURS}


def view(template: Template) -> dict[str, Any]:
    """A `TemplateView`: not as the struct, so that the document stays as it was given."""
    created_at = instant(template.created_at)
    return {
        "id": template.id,
        "status": template.status,
        "version": template.published or None,
        "has_draft": template.edited,
        "revision": template.revision,
        **template.document,
        "owner_id": template.owner or None,
        "created_at": created_at,
        "inserted_at": created_at,
        "updated_at": instant(template.updated_at),
        "published_at": instant(template.published_at),
        "archived_at": instant(template.archived_at),
    }


def version_view(definition: Definition) -> dict[str, Any]:
    """A `VersionView`."""
    return {
        "id": definition.name,
        "version": int(definition.version),
        **msgspec.json.decode(definition.text),
        "published_at": instant(definition.created_at),
    }


def version_summary(definition: Definition, *, current: int) -> VersionSummary:
    document = msgspec.json.decode(definition.text)
    number = int(definition.version)
    return VersionSummary(
        version=number,
        name=document["name"],
        current=number == current,
        published_at=instant(definition.created_at),
    )


def pagination(found: Found[Any]) -> ListMeta:
    """The `meta` of a page."""
    cursor = None if found.next is None else write_cursor(found.next)
    return ListMeta(pagination=Pagination(total_count=found.total, has_more=cursor is not None, cursor=cursor))


def etag(template: Template) -> dict[str, str]:
    """RFC 9110 §8.8.3."""
    return {"ETag": f'"{template.revision}"'}


def expected_revision(request: Request) -> int | None:
    """The revision that `If-Match` asks for; None when any will do. Raises `InvalidRequestError`."""
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    found = _ETAG.fullmatch(text)
    if found is None:
        raise InvalidRequestError([Fault(path=("If-Match",), message='expected an ETag like "3"')])
    return int(found[1] or found[2])
