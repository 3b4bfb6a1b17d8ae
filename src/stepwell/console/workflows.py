"""Workflows and templates: their versions, graph and source, a form to start one, and when it starts by itself."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from nicegui import ui
from starlette.requests import Request

from stepwell.console.frame import RESPONSE_S, LivePage
from stepwell.console.graphs import draw
from stepwell.console.part import Part
from stepwell.console.visitor import Visitor, as_dict
from stepwell.core.errors import InvalidInputError, StepwellError, WorkflowNotFoundError
from stepwell.engine.compensating import SUFFIX
from stepwell.engine.ownership import OWNED, owner_of
from stepwell.engine.schedules import Schedule
from stepwell.security.masking import MASK, MASKS
from stepwell.store.model import Definition

DOOR: Final = "console"
MAX_LISTED: Final = 1_000


class Workflows(Part, component="elements/workflows.js"):
    """The list and the chosen one. Emits `choose`, `start`, `schedule`, `pause` and `unschedule`."""


class WorkflowsPage(LivePage):
    """What the visitor may start."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, title="Workflows", active="/console/workflows")
        query = request.query_params
        self._chosen, self._version = query.get("name", ""), query.get("version", "")
        self._listed: list[Definition] | None = None

    def build(self) -> None:
        may_act = self.visitor.principal.may("write")
        self._workflows = Workflows(listed=[], chosen=None, schedules=[], mayAct=may_act, shown=False)
        self.on(self._workflows, "choose", self._choose, acts=False)
        self.on(self._workflows, "start", self._start)
        self.on(self._workflows, "schedule", self._schedule)
        self.on(self._workflows, "pause", self._pause)
        self.on(self._workflows, "unschedule", self._unschedule)

    async def show(self) -> None:
        if self._listed is None:  # once: the list is as long as there are documents, and changes seldom
            self._listed = await visible_definitions(self.visitor)
        newest = {one.name: one for one in sorted(self._listed, key=lambda one: (one.name, one.created_at))}
        chosen = self._pick(newest)
        self._workflows.fill(
            listed=[await self._item(definition) for definition in list(newest.values())[:MAX_LISTED]],
            chosen=None if chosen is None else await self._described(chosen),
            schedules=[schedule_item(rule) for rule in await self._schedules()],
            shown=True,
        )

    def _pick(self, newest: dict[str, Definition]) -> Definition | None:
        named = [one for one in self._listed or () if one.name == self._chosen]
        versioned = [one for one in named if one.version == self._version]
        return next(iter(versioned or named), next(iter(newest.values()), None) if not self._chosen else None)

    async def _item(self, definition: Definition) -> dict[str, Any]:
        title = await self._title(definition)
        return {"name": definition.name, "title": title, "kind": definition.kind, "version": definition.version}

    async def _title(self, definition: Definition) -> str:
        compiled = await self.engine.compiled(definition.digest)
        return (compiled.title if compiled is not None else "") or definition.name

    async def _described(self, definition: Definition) -> dict[str, Any]:
        compiled = await self.engine.compiled(definition.digest)
        graph = draw(definition, compiled)
        versions = [one for one in self._listed or () if one.name == definition.name]
        return {
            **(await self._item(definition)),
            "versions": [{"version": one.version, "at": one.created_at} for one in versions],
            "graph": graph.text if graph is not None else "",
            "source": source_of(definition),
            "schema": compiled.input_schema if compiled is not None else None,
            "runnable": compiled is not None,
        }

    async def _schedules(self) -> list[Schedule]:
        rules = await self.engine.list_schedules()
        return [rule for rule in rules if self._sees(rule) and (not self._chosen or rule.workflow == self._chosen)]

    def _sees(self, rule: Schedule) -> bool:
        return self.visitor.principal.may_see(rule.owner)

    # --- what the page asks -----------------------------------------------------------------------------------------

    async def _choose(self, what: Any) -> None:
        self._chosen, self._version = str(as_dict(what).get("name", "")), str(as_dict(what).get("version", ""))

    async def _start(self, what: Any) -> None:
        order = as_dict(what)
        definition = await startable(self.visitor, str(order.get("name")), str(order.get("version") or ""))
        run_id = await start(self.visitor, definition, order.get("input"))
        ui.navigate.to(f"/runs/{run_id}")

    async def _schedule(self, what: Any) -> str:
        order = as_dict(what)
        definition = await startable(self.visitor, str(order.get("name")), "")
        await check_input(self.visitor, definition, order.get("input"))
        every = order.get("every_s")
        rule = await self.engine.schedule(
            definition.name,
            order.get("input"),
            owner=self.visitor.principal.owner,
            cron=str(order["cron"]) if order.get("cron") else None,
            timezone=str(order.get("timezone") or "UTC"),
            every_s=float(every) if isinstance(every, int | float) else None,
        )
        return f"Scheduled: {rule.id}"

    async def _pause(self, what: Any) -> None:
        rule = await self._own(as_dict(what).get("id"))
        await self.engine.pause_schedule(rule.id, paused=not rule.paused)

    async def _unschedule(self, what: Any) -> None:
        rule = await self._own(as_dict(what).get("id"))
        await self.engine.unschedule(rule.id)

    async def _own(self, id: Any) -> Schedule:
        found = [rule for rule in await self.engine.list_schedules() if rule.id == id and self._sees(rule)]
        if not found:
            raise StepwellError("there is no such schedule")
        return found[0]


# --- definitions, as somebody sees them -----------------------------------------------------------------------------


async def visible_definitions(visitor: Visitor) -> list[Definition]:
    """The newest of each version, by name: the operator's, and those of the visitor."""
    found = await visitor.engine.store.list_definitions()
    return [one for one in found if not one.name.endswith(SUFFIX) and await may_start(visitor, one)]


async def may_start(visitor: Visitor, definition: Definition) -> bool:
    """Whether a workflow is there for somebody: it is the operator's, or theirs."""
    try:
        owner = await owner_of(visitor.engine.store, definition)
    except WorkflowNotFoundError:
        return False
    return owner is None or visitor.principal.may_see(owner)


async def startable(visitor: Visitor, name: str, version: str) -> Definition:
    """The definition to start. Raises `WorkflowNotFoundError`."""
    definition = await visitor.engine.workflows.find(name, version)
    if not await may_start(visitor, definition):
        raise WorkflowNotFoundError(name, version or None)
    return definition


async def start(visitor: Visitor, definition: Definition, input: Any) -> str:
    """The id of a run that began. Raises `InvalidInputError`."""
    await check_input(visitor, definition, input)
    started = await visitor.engine.start(
        definition.name,
        input,
        version=definition.version,
        owner=visitor.principal.owner,
        door=DOOR,
        actor=visitor.actor,
    )
    return started.run_id


async def check_input(visitor: Visitor, definition: Definition, input: Any) -> None:
    """That a run may start with it. Raises `InvalidInputError` that names what is wrong."""
    compiled = await visitor.engine.workflows.compiled(definition.digest)
    faults: dict[str, Sequence[str]] = {} if compiled.check_input is None else await compiled.check_input(input)
    if faults:
        words = (f"{name}: {fault}" if name else fault for name, all in faults.items() for fault in all)
        raise InvalidInputError("; ".join(words))


def source_of(definition: Definition) -> str:
    """The text of a document; of those that came through a door without values that nobody is to see."""
    if definition.kind == "flow":
        return definition.text
    if definition.kind not in OWNED:
        return ""  # Python: the text is only its name
    document = MASKS.data(msgspec.json.decode(definition.text))
    if isinstance(document, dict) and document.get("env"):
        document["env"] = MASK
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def schedule_item(rule: Schedule) -> dict[str, Any]:
    """A schedule as its row shows it."""
    found: dict[str, Any] = msgspec.to_builtins(rule)
    return {name: found[name] for name in ("id", "workflow", "cron", "timezone", "every_s", "after_s", "at")} | {
        "paused": rule.paused,
        "next": rule.next_at,
        "last": rule.last_run_id or "",
        "error": rule.last_error or "",
        "own": not rule.id.startswith("workflow:"),
    }


@ui.page("/workflows", response_timeout=RESPONSE_S)
async def page(request: Request) -> None:
    """`/console/workflows`"""
    await WorkflowsPage(request).open()
