"""Templates: drafts that are edited, published as numbered versions that never change, archived, deleted.

A template is one small record: its working document and how far it has come. A published version is a definition of
the engine, named by the template's id. A template is published in two writes, the record first: whoever finds that
the second is missing (a crash came between) makes it up, from the document that the record still holds.
"""

import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from stepwell.core.definitions import Fault as DefinitionFault
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import StepwellError
from stepwell.core.principal import Principal
from stepwell.doors.agents.children import check_children
from stepwell.doors.kit import Cursor, Fault, Found, InvalidRequestError, MissingError
from stepwell.engine import Engine
from stepwell.engine.ids import new_id
from stepwell.store.model import Definition, Record, RunQuery

KIND: Final = "template"
"""Of the records, and of the engine's workflows."""
ALL: Final = 1_000_000
MAX_NAME: Final = 200
_NAMESPACE: Final = uuid.UUID("6f1d3a52-0f52-5c58-9d2d-3c1a7a1f5c10")


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A template as it is kept. `document` is what was last given; `published` the newest version, 0 when none.

    `edited`: the document is not (yet) a version. `frozen`: the newest version is known to the engine.
    """

    id: str
    owner: str
    document: dict[str, Any]
    revision: int
    created_at: float
    updated_at: float
    published: int = 0
    edited: bool = True
    frozen: bool = True
    published_at: float | None = None
    archived_at: float | None = None

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def place(self) -> str:
        """Sorts templates by the time of their creation."""
        return f"{self.created_at:017.6f} {self.id}"

    @property
    def status(self) -> str:
        """draft (nothing published yet), published or archived."""
        if self.archived_at is not None:
            return "archived"
        return "published" if self.published else "draft"


class Startable(msgspec.Struct, frozen=True, kw_only=True):
    """A version to start runs of: the engine's `workflow` and `version`, and what people call it."""

    workflow: str
    version: str
    name: str


Change = Callable[[Template, float], Awaitable[Template]]
"""A template and the time, to the template as it should be: the same one when nothing changes."""


class TemplateStateError(StepwellError):
    """What is asked for is not possible in this status."""

    def __init__(self, status: str, action: str, allowed_from: tuple[str, ...]) -> None:
        super().__init__(status, action)
        self.status = status
        self.action = action
        self.allowed_from = allowed_from

    def __str__(self) -> str:
        return f"a template that is {self.status} cannot be changed like this: {self.action}"


class TemplateInUseError(StepwellError):
    """A template with runs stays, since they show and retry its versions."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"the template has runs ({self.run_id} is the newest): archive it instead"


class RevisionError(StepwellError):
    """Somebody else has changed the template since the caller read it."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"the template was changed meanwhile: expected revision {self.expected}, found {self.found}"


class Templates:
    """The templates of an engine, as one principal sees them: those of others do not exist."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine = engine
        self._store = engine.store
        self._principal = principal

    # --- reading ----------------------------------------------------------------------------------------------------

    async def get(self, id: str) -> Template:
        """Raises `MissingError`."""
        records = await self._store.get_records(KIND, id=id)
        if not records or not self._principal.may_see(records[0].owner):
            raise MissingError("template", id)
        template = _read(records[0])
        return template if template.frozen else await self._freeze(template)

    async def list(self, *, statuses: tuple[str, ...], search: str, start: Cursor, limit: int) -> Found[Template]:
        """A page, newest first. `search`: a part of the name, in any case."""
        records = await self._store.get_records(KIND, owner=self._principal.sees, limit=ALL)
        text = search.casefold()
        found = [
            template
            for template in map(_read, records)
            if (not statuses or template.status in statuses) and text in template.name.casefold()
        ]
        found.sort(key=lambda template: template.place, reverse=True)
        before = start.before
        rest = found[start.offset :] if before is None else [one for one in found if one.place < before]
        page = rest[:limit]
        return Found(
            items=page, total=len(found), next=Cursor(before=page[-1].place) if len(rest) > len(page) else None
        )

    async def version(self, template: Template, number: int) -> Definition:
        """A published version. Raises `MissingError`."""
        if 1 <= number <= template.published:
            found = await self._store.find_definition(name=template.id, version=str(number))
            if found is not None:
                return found
        raise MissingError("version", str(number))

    async def startable(self, id: str, version: int | None = None) -> Startable:
        """What a run is started from: the newest version, or an older one.

        Raises `MissingError`, and `InvalidRequestError` unless that is published.
        """
        template = await self.get(id.lower())  # a UUID is the same in capitals
        if template.status != "published":
            raise InvalidRequestError(
                [Fault(path=("template_id",), message=f"is not published, but {template.status}")]
            )
        if version is not None and not 1 <= version <= template.published:
            fault = Fault(path=("template_version",), message=f"expected 1 to {template.published}, found {version}")
            raise InvalidRequestError([fault])
        return _startable(await self.version(template, version or template.published))

    # --- changing ---------------------------------------------------------------------------------------------------

    async def create(self, document: dict[str, Any], *, key: str | None) -> Template:
        """A new draft. The same `key` again gives the one that it made. Raises `InvalidDefinitionError`."""
        await self._check(document)
        now = self._engine.clock.now()
        template = Template(
            id=new_id(now) if key is None else str(uuid.uuid5(_NAMESPACE, key)),
            owner=self._principal.owner,
            document=document,
            revision=1,
            created_at=now,
            updated_at=now,
        )
        if not await self._put(template, over=0):
            return await self.get(template.id)
        return template

    async def edit(self, id: str, document: dict[str, Any], *, revision: int | None) -> Template:
        """Another document; what is published stays as it is.

        Raises `MissingError`, `InvalidDefinitionError`, `TemplateStateError`, `RevisionError`.
        """
        await self.get(id)
        await self._check(document)

        async def edited(template: Template, now: float) -> Template:
            if template.status == "archived":
                raise TemplateStateError("archived", "edit", ("draft", "published"))
            if document == template.document:
                return template
            return msgspec.structs.replace(template, document=document, edited=True, updated_at=now)

        return await self._change(id, revision, edited)

    async def publish(self, id: str, *, revision: int | None) -> Template:
        """Make the document the next version; nothing changes when it is one.

        Raises `MissingError`, `InvalidDefinitionError`, `TemplateStateError`, `RevisionError`.
        """

        async def published(template: Template, now: float) -> Template:
            if template.status == "archived":
                raise TemplateStateError("archived", "publish", ("draft", "published"))
            if not template.edited:
                return template
            await self._check(template.document)
            return msgspec.structs.replace(
                template,
                published=template.published + 1,
                edited=False,
                frozen=False,
                published_at=now,
                updated_at=now,
            )

        template = await self._change(id, revision, published)
        return template if template.frozen else await self._freeze(template)

    async def archive(self, id: str, *, revision: int | None) -> Template:
        """Start no more runs from it; those there are go on. Raises as `publish` does."""

        async def archived(template: Template, now: float) -> Template:
            if template.status == "draft":
                raise TemplateStateError("draft", "archive", ("published",))
            if template.archived_at is not None:
                return template
            return msgspec.structs.replace(template, archived_at=now, updated_at=now)

        return await self._change(id, revision, archived)

    async def delete(self, id: str, *, revision: int | None) -> None:
        """Raises `MissingError`, `RevisionError`, and `TemplateInUseError` when there is a run of any version."""
        await self.get(id)
        runs = await self._engine.list_runs(RunQuery(workflows=(id,), limit=1))
        if runs:
            raise TemplateInUseError(runs[0].run_id)
        await self._change(id, revision, _touched)
        await self._store.drop_record(KIND, id)

    async def inline(self, document: dict[str, Any]) -> Startable:
        """A document that comes with the request for its run: private, version 1, never listed.

        The same document of the same owner is one definition. Raises `InvalidDefinitionError`.
        """
        text = _text(document)
        name = str(uuid.uuid5(_NAMESPACE, f"{self._principal.owner}\n{text}"))
        found = await self._store.find_definition(name=name, version="1")
        if found is None:
            await self._check(document)
            found = await self._engine.save(kind=KIND, name=name, version="1", text=text)
        return _startable(found)

    # --- one change -------------------------------------------------------------------------------------------------

    async def _change(self, id: str, revision: int | None, change: Change) -> Template:
        """Read, change, write over what was read; again when somebody else was faster."""
        while True:
            template = await self.get(id)
            _check_revision(template, revision)
            changed = await change(template, self._engine.clock.now())
            if changed is template:
                return template
            changed = msgspec.structs.replace(changed, revision=template.revision + 1)
            if await self._put(changed, over=template.revision):
                return changed

    async def _freeze(self, template: Template) -> Template:
        """The second write of publishing: the version, as the engine keeps it. Doing it twice changes nothing."""
        text = _text(template.document)
        await self._engine.save(kind=KIND, name=template.id, version=str(template.published), text=text)
        frozen = msgspec.structs.replace(template, frozen=True, revision=template.revision + 1)
        return frozen if await self._put(frozen, over=template.revision) else await self.get(template.id)

    async def _check(self, document: dict[str, Any]) -> None:
        faults = [*_of_name(document.get("name"))]
        try:
            self._engine.check(kind=KIND, text=_text(document))
        except InvalidDefinitionError as found:
            faults += found.faults
        if faults:
            raise InvalidDefinitionError(faults)
        await check_children(document, self._engine, self._principal)

    async def _put(self, template: Template, *, over: int) -> bool:
        record = Record(
            kind=KIND,
            id=template.id,
            owner=template.owner,
            version=template.revision,
            data=msgspec.to_builtins(template),
        )
        return await self._store.put_record(record, expect_version=over)


def _of_name(name: Any) -> Iterator[DefinitionFault]:
    """What is wrong with a name that is a text: it is shown in lists, and kept with every run."""
    if isinstance(name, str) and not (name.strip() and len(name) <= MAX_NAME and name.isprintable()):
        message = f"expected 1 to {MAX_NAME} characters that can be printed, found others"
        yield DefinitionFault(pointer="/name", line=0, message=message)


async def _touched(template: Template, now: float) -> Template:
    return msgspec.structs.replace(template, updated_at=now)


def _read(record: Record) -> Template:
    return msgspec.convert(record.data, Template)


def _text(document: dict[str, Any]) -> str:
    """A document as the engine keeps it."""
    return msgspec.json.encode(document).decode()


def _startable(definition: Definition) -> Startable:
    document = msgspec.json.decode(definition.text)
    return Startable(workflow=definition.name, version=definition.version, name=str(document["name"]))


def _check_revision(template: Template, expected: int | None) -> None:
    if expected is not None and expected != template.revision:
        raise RevisionError(expected, template.revision)
