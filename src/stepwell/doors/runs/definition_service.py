"""Definitions: numbered versions that never change, one of which is the default, with values of envs beside them.

A definition is one small record; its versions are definitions of the engine, named by its id. A version is made in
two writes, the record first: whoever finds that the second is missing (a crash came between) makes it up, from the
document that the record still holds. The default is also the newest for the engine, so that child runs get it too.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from stepwell.core.principal import Principal
from stepwell.doors.kit import Fault, InvalidRequestError, MissingError
from stepwell.doors.runs.errors import ConflictError
from stepwell.doors.runs.workflows import plan_of_text
from stepwell.engine import Engine
from stepwell.engine.ids import derived_id, new_id
from stepwell.programs.plan.definitions import KIND
from stepwell.programs.plan.model import Plan
from stepwell.store.model import Record

ALL: Final = 1_000_000
_NAMESPACE: Final = uuid.UUID("0c9a3a5e-6a0c-5d1f-8c5b-0b7f1f3a9d42")


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version. A draft is no default until somebody makes it one."""

    number: int
    created_at: float
    is_draft: bool = False


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as it is kept. `default` is the number of a version, 0 while there are drafts only.

    `name`, `description` and `services` are those of the version that is shown. `pending` is the newest version's
    document until the engine knows it. `env` holds values that win over those in the document.
    """

    id: str
    owner: str
    revision: int
    created_at: float
    updated_at: float
    name: str
    description: str | None
    services: tuple[str, ...]
    versions: tuple[Version, ...]
    default: int
    env: dict[str, str] = {}
    shared_team_keys: tuple[str, ...] = ()
    pending: str | None = None

    @property
    def shown(self) -> int:
        """The version that is shown: the default, else the newest draft."""
        return self.default or self.versions[-1].number

    def version(self, number: int) -> Version:
        return self.versions[number - 1]


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a version says: as text, as it was written, as a plan."""

    text: str
    document: dict[str, Any]
    plan: Plan


Change = Callable[[Kept, float], Kept]
"""A definition and the time, to the definition as it should be."""


class Definitions:
    """The definitions of an engine, as one principal sees them: those of others do not exist."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine = engine
        self._store = engine.store
        self._principal = principal

    # --- reading ----------------------------------------------------------------------------------------------------

    async def get(self, id: str) -> Kept:
        """Raises `MissingError`."""
        records = await self._store.get_records(KIND, id=id)
        if not records or not self._principal.may_see(records[0].owner):
            raise MissingError("workflow", id)
        kept = msgspec.convert(records[0].data, Kept)
        return kept if kept.pending is None else await self._freeze(kept)

    async def list(self, *, is_draft: bool, search: str) -> list[Kept]:
        """Those with a default version, or those with drafts only; newest first."""
        text = search.strip().casefold()
        records = await self._store.get_records(KIND, owner=self._principal.sees, limit=ALL)
        found = [msgspec.convert(record.data, Kept) for record in records]
        wanted = [kept for kept in found if (kept.default == 0) is is_draft and text in kept.name.casefold()]
        return sorted(wanted, key=lambda kept: (kept.created_at, kept.id), reverse=True)

    async def version(self, kept: Kept, number: int) -> "Stated":
        """What a version says."""
        definition = await self._engine.workflows.find(kept.id, str(number))
        return _stated(definition.text)

    def check(self, document: Mapping[str, Any]) -> "Stated":
        """A document as it would be kept. Raises `InvalidDefinitionError`."""
        text = msgspec.json.encode(document).decode()
        self._engine.check(kind=KIND, text=text)
        return _stated(text)

    # --- changing ---------------------------------------------------------------------------------------------------

    async def create(self, document: Mapping[str, Any], *, is_draft: bool, key: str | None) -> Kept:
        """A new definition; its version 1 is the default, unless it is a draft. The same `key` gives the same one.

        Raises `InvalidDefinitionError`.
        """
        text = self.check(document).text
        now = self._engine.clock.now()
        kept = Kept(
            id=new_id(now) if key is None else str(uuid.uuid5(_NAMESPACE, key)),
            owner=self._principal.owner,
            revision=1,
            created_at=now,
            updated_at=now,
            versions=(Version(number=1, created_at=now, is_draft=is_draft),),
            default=0 if is_draft else 1,
            pending=text,
            **_described(document),
        )
        if not await self._put(kept, over=0):
            return await self.get(kept.id)
        return await self._freeze(kept)

    async def update(self, id: str, document: Mapping[str, Any], *, is_draft: bool, is_default: bool) -> Kept:
        """Another version, the default unless it is a draft or is not to be.

        Raises `MissingError`, `InvalidDefinitionError`.
        """
        text = self.check(document).text

        def updated(kept: Kept, now: float) -> Kept:
            version = Version(number=len(kept.versions) + 1, created_at=now, is_draft=is_draft)
            default = kept.default if is_draft or not is_default else version.number
            described = _described(document) if default in (0, version.number) else {}
            return msgspec.structs.replace(
                kept, versions=(*kept.versions, version), default=default, pending=text, **described
            )

        return await self._freeze(await self._change(id, updated))

    async def set_default(self, id: str, version_id: str) -> Kept:
        """Make new runs start from a version; a draft is one no more. Raises `MissingError`."""
        kept = await self.get(id)
        number = number_of(kept, version_id)
        described = _described((await self.version(kept, number)).document)

        def chosen(kept: Kept, _now: float) -> Kept:
            published = msgspec.structs.replace(kept.version(number), is_draft=False)
            versions = (*kept.versions[: number - 1], published, *kept.versions[number:])
            return msgspec.structs.replace(kept, versions=versions, default=number, **described)

        kept = await self._change(id, chosen)
        await self._make_newest(kept)
        return kept

    async def save_env(self, id: str, envs: Mapping[str, str | None]) -> Kept:
        """Keep values of declared envs; None goes back to the document's. Raises `InvalidRequestError`."""
        kept = await self.get(id)
        known = [env.name for env in (await self.version(kept, kept.shown)).plan.env]
        faults = [Fault(path=("envs", name), message="is not declared") for name in envs if name not in known]
        if faults:
            raise InvalidRequestError(faults)

        def saved(kept: Kept, _now: float) -> Kept:
            env = {name: value for name, value in {**kept.env, **envs}.items() if value is not None}
            return msgspec.structs.replace(kept, env=env)

        return await self._change(id, saved)

    async def delete(self, id: str) -> None:
        """Its runs stay, and so do the versions that they run. Raises `MissingError`."""
        await self.get(id)
        await self._store.drop_record(KIND, id)

    # --- one change -------------------------------------------------------------------------------------------------

    async def _change(self, id: str, change: Change) -> Kept:
        """Read, change, write over what was read; again when somebody else was faster."""
        while True:
            kept = await self.get(id)
            now = self._engine.clock.now()
            changed = msgspec.structs.replace(change(kept, now), revision=kept.revision + 1, updated_at=now)
            if await self._put(changed, over=kept.revision):
                return changed

    async def _freeze(self, kept: Kept) -> Kept:
        """The second write: the version, as the engine keeps it. Doing it twice changes nothing."""
        assert kept.pending is not None
        number = kept.versions[-1].number
        await self._engine.save(kind=KIND, name=kept.id, version=str(number), text=kept.pending)
        frozen = msgspec.structs.replace(kept, pending=None, revision=kept.revision + 1)
        if not await self._put(frozen, over=kept.revision):
            return await self.get(kept.id)
        if kept.default not in (0, number):
            await self._make_newest(frozen)
        return frozen

    async def _make_newest(self, kept: Kept) -> None:
        """What is saved last is what the engine starts when nobody names a version."""
        text = (await self.version(kept, kept.default)).text
        await self._engine.save(kind=KIND, name=kept.id, version=str(kept.default), text=text)

    async def _put(self, kept: Kept, *, over: int) -> bool:
        record = Record(
            kind=KIND, id=kept.id, owner=kept.owner, version=kept.revision, data=msgspec.to_builtins(kept)
        )
        return await self._store.put_record(record, expect_version=over)


def version_id_of(kept: Kept, number: int) -> str:
    """The id of a version."""
    return derived_id(kept.id, f"version/{number}")


def number_of(kept: Kept, version_id: str) -> int:
    """The number of a version. Raises `MissingError`."""
    for version in kept.versions:
        if version_id_of(kept, version.number) == version_id:
            return version.number
    raise MissingError("version", version_id)


def published(kept: Kept) -> int:
    """The version that runs start from. Raises `ConflictError` when there are drafts only."""
    if not kept.default:
        raise ConflictError(f"the workflow {kept.id} is a draft: make one of its versions the default")
    return kept.default


def _described(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a list shows of a document."""
    steps = (step.get("service") for step in document["steps"])
    services = dict.fromkeys([*(document.get("services") or ()), *(name for name in steps if name)])
    return {
        "name": str(document["name"]),
        "description": document.get("description"),
        "services": tuple(services),
    }


def _stated(text: str) -> Stated:
    return Stated(text=text, document=msgspec.json.decode(text), plan=plan_of_text(KIND, text))
