"""A place to try documents: checked while they are written, each fault at its line; simulated, or run and watched.

What is run is kept under a name of its own and never starts by itself. A flow may call any address, so only who sees
everything may run one here; pipelines go to brokers that the operator set up.
"""

import hashlib
import uuid
from typing import Any, Final

import msgspec
from nicegui import ui
from starlette.requests import Request

from stepwell.console import run_items
from stepwell.console.frame import RESPONSE_S, LivePage
from stepwell.console.part import Part
from stepwell.console.visitor import Visitor, as_dict
from stepwell.console.workflows import start
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import InvalidInputError, StepwellError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.simulating import simulate
from stepwell.store.model import Record

NAMED: Final = "playground/"
PIPELINE: Final = "pipeline"
MAX_SHOWN: Final = 200

FIRST: Final = "A flow that asks"
EXAMPLES: Final = {
    FIRST: """document: {dsl: '1.0.3', namespace: playground, name: hello, version: '1.0.0'}
do:
  - greet:
      set: {text: '${ "hello " + (.name // "world") }'}
  - rest:
      wait: {milliseconds: 500}
  - ask:
      call: approval
      with: {prompt: Send it?}
""",
    "A flow with branches": """document: {dsl: '1.0.3', namespace: playground, name: branches, version: '1.0.0'}
do:
  - each:
      for: {each: number, in: '${ [1, 2, 3] }'}
      do:
        - rest: {wait: {milliseconds: 200}}
  - both:
      fork:
        branches:
          - slow: {wait: {milliseconds: 900}}
          - quick: {wait: {milliseconds: 300}}
""",
    "A pipeline": """id: orders
messageType: kafka
producerName: main
topic: orders
executions: 3
pipeline:
  - stage: order
    source: none
    emit: true
    set:
      number: ${execution.index}
      customer: Ann
""",
}


class Board(Part, component="elements/playground.js"):
    """Buttons, faults, input and what came of it. Emits `example`, `run`, `simulate` and `dark` (the theme)."""


class PlaygroundPage(LivePage):
    """One document, and the run of it that is watched."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, title="Playground", active="/console/playground")
        self._run_id = ""
        self._seq = 0

    def build(self) -> None:
        may_act = self.visitor.principal.may("write")
        with ui.element("div").classes("sw-two"):
            with ui.element("section").classes("sw-panel").props('aria-label="Document"'):
                self._editor = ui.codemirror(
                    EXAMPLES["A flow that asks"],
                    language="YAML",
                    theme="githubLight",
                    on_change=self._check,
                    line_wrapping=True,
                ).classes("sw-editor")
            self._board = Board(examples=list(EXAMPLES), faults=[], kind="", mayAct=may_act, mayRun=may_act, run=None)
        self.on(self._board, "example", self._example, acts=False)
        self.on(self._board, "run", self._run)
        self.on(self._board, "simulate", self._simulate, acts=False)
        self.on(self._board, "dark", self._set_dark, acts=False)
        self._check()

    async def show(self) -> None:
        if not self._run_id:
            return
        news = await self.engine.store.events(self._run_id, self._seq, -1)
        if news:
            rows = [run_items.event_row(seq, event, None) for seq, event in enumerate(news, self._seq + 1)]
            self._seq += len(news)
            view = await self.engine.view(self._run_id)
            output = msgspec.to_builtins(view.error) if view.error is not None else view.output
            self._board.fill(run={"id": self._run_id, "status": str(view.row.status), "output": output})
            self._board.run_method("add", rows)

    # --- the document -----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Say what is wrong with the document, and mark the lines."""
        try:
            kind, _, _ = self.visitor.desk.kinds.read(self._text)
            faults: list[dict[str, Any]] = []
        except InvalidDefinitionError as error:
            kind = ""
            faults = [
                {"line": fault.line, "pointer": fault.pointer, "message": fault.message}
                for fault in error.faults[:MAX_SHOWN]
            ]
        lines = {fault["line"] for fault in faults if 0 < fault["line"] <= self._text.count("\n") + 1}
        self._editor.decorations = [{"kind": "line", "line": line, "class": "sw-faulty"} for line in sorted(lines)]
        may_run = kind == PIPELINE or self.visitor.sees is None
        self._board.fill(faults=faults, kind=kind, mayRun=may_run)

    @property
    def _text(self) -> str:
        return self._editor.value or ""

    async def _example(self, name: Any) -> None:
        if name in EXAMPLES:
            self._editor.value = EXAMPLES[str(name)]

    async def _set_dark(self, dark: Any) -> None:
        self._editor.theme = "githubDark" if dark else "githubLight"

    async def _run(self, what: Any) -> str:
        run_id = await try_document(self.visitor, self._text, _input(as_dict(what).get("input")))
        self._run_id, self._seq = run_id, 0
        self._board.fill(run={"id": run_id, "status": "pending", "output": None})
        self._board.run_method("clear")
        return "Started."

    async def _simulate(self, what: Any) -> str:
        kind, _ = read_document(self.visitor, self._text)
        if kind != PIPELINE:
            raise StepwellError("a flow has no simulation: run it")
        executions = as_dict(what).get("executions")
        pipeline: Pipeline = self.visitor.desk.kinds.pipelines.read(self._text)
        found = await simulate(
            pipeline,
            seed=pipeline.seed or str(uuid.uuid4()),
            started_at=self.engine.clock.now(),
            executions=executions if isinstance(executions, int) else 1,
        )
        messages = [
            {"execution": index, "stage": message.stage, "payload": bytes(message.payload).decode()}
            for index, sent in enumerate(found, 1)
            for message in sent
        ]
        self._board.run_method("simulated", messages[:MAX_SHOWN])
        return f"{len(messages)} messages would be sent."


async def try_document(visitor: Visitor, text: str, input: Any) -> str:
    """The id of a run of a document, which is kept for it. Raises `StepwellError`."""
    kind, name = read_document(visitor, text)
    if kind != PIPELINE and visitor.sees is not None:
        raise StepwellError("only an administrator may run a flow here: it may call any address")
    owner, engine = visitor.principal.owner, visitor.engine
    name = f"{NAMED}{owner}/{name}" if owner else f"{NAMED}{name}"
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    # Not `engine.save`: what the document says of times and events that start it is not to hold.
    definition = await engine.workflows.save(kind=kind, name=name, version=version, text=text, now=engine.clock.now())
    await engine.store.put_record(Record(kind=kind, id=name, owner=owner, data={}))
    return await start(visitor, definition, input)


def read_document(visitor: Visitor, text: str) -> tuple[str, str]:
    """Kind and name of a document without faults. Raises `StepwellError`."""
    try:
        kind, name, _ = visitor.desk.kinds.read(text)
    except InvalidDefinitionError as error:
        raise StepwellError(f"the document has {len(error.faults)} faults: {error.faults[0]}") from None
    return kind, name


def _input(text: Any) -> Any:
    if not str(text or "").strip():
        return None
    try:
        return msgspec.json.decode(str(text))
    except msgspec.DecodeError as fault:
        raise InvalidInputError(f"the input is no JSON: {fault}") from None


@ui.page("/playground", response_timeout=RESPONSE_S)
async def page(request: Request) -> None:
    """`/console/playground`"""
    await PlaygroundPage(request).open()
