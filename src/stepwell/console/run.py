"""The page of one run: how it stands, what it can be told, its graph, timeline, history and values, all live."""

import time
from contextlib import ExitStack
from typing import Any, Final

import msgspec
from fastapi.responses import Response
from nicegui import app, ui
from starlette.requests import Request

from stepwell.console import run_items
from stepwell.console.frame import RESPONSE_S, LivePage
from stepwell.console.graphs import DrawnGraph, draw, statuses
from stepwell.console.part import Part
from stepwell.console.pulse import QUIET_S
from stepwell.console.visitor import Visitor, as_dict
from stepwell.core import history as h
from stepwell.core.errors import InvalidInputError, RunNotFoundError, StepwellError
from stepwell.core.program import Compiled, Hiding
from stepwell.core.run import fold
from stepwell.engine.hiding import hiding_of
from stepwell.engine.retrying import RetryOptions
from stepwell.engine.viewing import run_view
from stepwell.engine.views import RunView
from stepwell.store.model import StreamItem

SHOWN: Final = 500
"""Rows of the history, and of the stream, that a page begins with: the newest."""
GONE: Final = "This run is not there any more: it was deleted since (retention), or is somebody else's."


class Head(Part, component="elements/run_head.js"):
    """Status, facts and commands. Emits `act` (verb and its options) and `points` (what it can be rolled back to)."""


class Timeline(Part, component="elements/run_lanes.js"):
    """Steps over time. Emits `detail` (the key of a step) and `act`."""


class Graph(Part, component="elements/run_graph.js"):
    """The workflow, with the status of each node. Emits `detail`."""


class Log(Part, component="elements/run_log.js"):
    """History, stream and messages as they come; only what is new is sent."""


class Values(Part, component="elements/run_values.js"):
    """Input, output and error."""


class RunPage(LivePage):
    """One run, followed by reading what is after the last event and item that the page has."""

    def __init__(self, request: Request, run_id: str) -> None:
        super().__init__(request, title="Run", active="/console/")
        self._run_id = run_id
        self._events: list[h.AnyEvent] = []
        self._sent = 0
        self._items = 0
        self._view: RunView | None = None
        self._compiled: Compiled | None = None
        self._graph: DrawnGraph | None = None
        self._hiding: Hiding | None = None
        self._base: tuple[str, msgspec.Raw] | None = None
        self._kept = ExitStack()
        self._channel = self._kept.enter_context(self.engine.watchers.keeping(run_id))
        self._read = -1
        self._read_at = 0.0

    def version(self) -> int:
        return self._channel.version

    def closed(self) -> None:
        self._kept.close()

    def build(self) -> None:
        may_act = self.visitor.principal.may("write")
        self._head = Head(run=None, mayAct=may_act, id=self._run_id)
        self._timeline = Timeline(lanes=[], run=None, mayAct=may_act)
        with ui.element("div").classes("sw-two"):
            self._drawing = Graph(text="", statuses={})
            self._values = Values(values={})
        self._log = Log(first=0)
        self.on(self._head, "act", self._act)
        self.on(self._timeline, "act", self._act)
        self.on(self._head, "points", self._points, acts=False)
        self.on(self._timeline, "detail", self._detail, acts=False)
        self.on(self._drawing, "detail", self._detail_at, acts=False)

    async def show(self) -> None:
        version = self.version()
        if version == self._read and time.monotonic() - self._read_at < QUIET_S:
            return  # what was committed is of other runs
        try:
            created = await self.visitor.created(self._run_id)
            news = await self.engine.store.events(self._run_id, len(self._events), -1)
        except RunNotFoundError:
            self._head.fill(gone=GONE)
            return
        if news or self._view is None:
            self._events += news
            await self._know(created)
            self._view = run_view(self._events, self._compiled)
            self._show_view(self._view, created)
        await self._show_log()
        self._read, self._read_at = version, time.monotonic()

    async def _know(self, created: h.RunCreated) -> None:
        """What it runs: the same until a retry takes a newer version, or another input."""
        digest, input = created.definition, created.input
        if any(isinstance(event, h.RunRetried) and event.base is not None for event in self._events):
            state = fold(self._events)  # a roll-back may have given back what ran before
            digest, input = state.definition, state.input
        if (digest, input) == self._base:
            return
        self._base = (digest, input)
        self._compiled = await self.engine.compiled(digest)
        self._hiding = hiding_of(self._compiled, input)
        self._graph = draw(await self.engine.store.find_definition(digest=digest), self._compiled)

    def _show_view(self, view: RunView, created: h.RunCreated) -> None:
        undoable = self._compiled is not None and self._compiled.compensation is not None
        head = run_items.head_of(view, created, undoable=undoable)
        self.client.title = f"{view.row.workflow_name}: {view.row.status} · Stepwell"
        self._head.fill(run=head)
        times = {name: head[name] for name in ("started", "created", "ended", "status", "allowed")}
        self._timeline.fill(lanes=run_items.lanes_of(view.steps), run=times, total=len(view.steps))
        error = None if view.error is None else msgspec.to_builtins(view.error)
        self._values.fill(values={"Input": view.input, "Output": view.output, "Error": error})
        if self._graph is not None:
            failed_at = view.error.instance if view.error is not None else ""
            ended = view.row.status == "completed"
            shown = statuses(self._graph, view.steps, ended=ended, failed_at=failed_at)
            self._drawing.fill(text=self._graph.text, statuses=shown)

    async def _show_log(self) -> None:
        first = max(self._sent, len(self._events) - SHOWN)
        if first >= len(self._events) and not self.engine_may_have_items():
            return
        hiding = self._hiding
        rows = [run_items.event_row(seq, event, hiding) for seq, event in enumerate(self._events[first:], first + 1)]
        items = await self._new_items()
        if not self._sent and first:
            self._log.fill(first=first)
        self._sent, self._items = len(self._events), items[-1].n if items else self._items
        if rows or items:
            self._log.run_method(
                "add",
                rows,
                [run_items.item_row(item, hiding) for item in items],
                [message for item in items for message in run_items.message_rows(item)],
            )

    async def _new_items(self) -> list[StreamItem]:
        """The newest of the stream at first, then all that follow."""
        if not self._items:
            return await self.engine.last_items(self._run_id, SHOWN)
        return await self.engine.stream(self._run_id, after=self._items)

    def engine_may_have_items(self) -> bool:
        """Items are committed without an event: as long as the run goes on there may be some."""
        return self._view is None or self._view.row.ended_at is None

    # --- what the page asks -----------------------------------------------------------------------------------------

    async def _detail(self, key: Any) -> None:
        step = run_items.find_step(self._view.steps, str(key)) if self._view is not None else None
        if step is not None:
            self._timeline.run_method("open", run_items.detail_of(step))

    async def _detail_at(self, node: Any) -> None:
        """The step that a node of the graph shows: the latest of them."""
        if self._view is None or self._graph is None:
            return
        keys = [step.key for step in self._view.steps if self._graph.node_of(step.key) == str(node)]
        if keys:
            await self._detail(keys[-1])

    async def _points(self, _nothing: Any) -> None:
        await self.visitor.created(self._run_id)
        points = await self.engine.snapshots(self._run_id)
        found = [
            {
                "seq": point.seq,
                "at": point.at,
                "reason": point.reason,
                "label": point.label,
                "step": self._step_at(point.seq),
            }
            for point in points[-200:]
        ]
        self._head.run_method("choose", found)

    def _step_at(self, seq: int) -> str:
        """The key that the event of this number is about."""
        return str(getattr(self._events[seq - 1], "key", "")) if seq <= len(self._events) else ""

    async def _act(self, what: Any) -> str | None:
        """Tell the run. Its rules are the engine's: what the page offers may be out of date."""
        order = as_dict(what)
        id, actor, engine = self._run_id, self.visitor.actor, self.engine
        await self.visitor.created(id)
        reason, compensate = str(order.get("reason") or "")[:500], bool(order.get("compensate"))
        match order.get("verb"):
            case "pause":
                await engine.pause(id, reason=reason, actor=actor)
            case "resume":
                await engine.resume(id, actor=actor)
            case "stop":
                await engine.stop(id, reason=reason, actor=actor)
            case "cancel":
                await engine.cancel(id, reason=reason, compensate=compensate, actor=actor)
            case "retry":
                options = RetryOptions(from_step=str(order.get("step") or ""), latest=bool(order.get("latest")))
                await engine.retry(id, options=options, actor=actor)
            case "roll_back":
                await engine.roll_back(id, _seq(order), reason=reason, compensate=compensate, actor=actor)
            case "fork":
                started = await engine.fork(id, at_seq=_seq(order), input=_read(order.get("input")), actor=actor)
                ui.navigate.to(f"/runs/{started.run_id}")
            case _:
                return None
        return None


def _seq(order: dict[str, Any]) -> int:
    seq = order.get("seq")
    if not isinstance(seq, int):
        raise StepwellError("expected a place in the history")
    return seq


def _read(text: Any) -> Any:
    try:
        return msgspec.json.decode(str(text))
    except msgspec.DecodeError as fault:
        raise InvalidInputError(f"the input is no JSON: {fault}") from None


@ui.page("/runs/{run_id}", response_timeout=RESPONSE_S)
async def page(request: Request, run_id: str) -> None:
    """`/console/runs/{run_id}`"""
    await RunPage(request, run_id).open()


@app.get("/runs/{run_id}/download")
async def download(request: Request, run_id: str) -> Response:
    """A run with its steps and history as one JSON document; secrets are masked."""
    visitor = Visitor(request)
    try:
        await visitor.created(run_id)
        events = await visitor.engine.history(run_id)
    except RunNotFoundError as fault:
        return Response(msgspec.json.encode({"detail": fault.message}), 404, media_type="application/json")
    state = fold(events)
    compiled = await visitor.engine.compiled(state.definition)
    view = run_view(events, compiled)
    hiding = hiding_of(compiled, state.input)
    history = [run_items.event_fields(seq, event, hiding) for seq, event in enumerate(events, 1)]
    body = msgspec.json.encode({"run": view, "history": history})
    headers = {"Content-Disposition": f'attachment; filename="run-{run_id}.json"', "Cache-Control": "no-store"}
    return Response(msgspec.json.format(body), headers=headers, media_type="application/json")
