"""The application: what a user registers, and how an engine is made of that and of `parts.py`.

What is registered is kept until `open`, so that a workflow may be loaded before the functions it calls are defined.
"""

import inspect
import secrets
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, overload

import msgspec

from stepwell import documents
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import StepwellError, StorageError
from stepwell.core.history import RunCreated
from stepwell.core.program import Program
from stepwell.databases import dispatch_of, file_of
from stepwell.dispatch.family import FamilyDispatch
from stepwell.dispatch.limits import read_limits
from stepwell.dispatch.local import FileLock
from stepwell.doors.access import takes_tokens
from stepwell.engine import Engine, EngineOptions
from stepwell.engine.clock import Clock, SystemClock
from stepwell.files import Files
from stepwell.parts import Parts
from stepwell.programs.code import CodePrograms, is_workflow
from stepwell.programs.functions import Functions
from stepwell.programs.native import NativePrograms
from stepwell.security.keys import ApiKeys
from stepwell.settings import Settings, load_settings
from stepwell.store.model import Record
from stepwell.store.port import Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from starlette.applications import Starlette
    from workflows import Workflow as LlamaWorkflow
    from workflows.events import Event

_Program = TypeVar("_Program", bound=Program)


class NotOpenError(StepwellError):
    """The engine was asked for before the app was opened."""

    def __str__(self) -> str:
        return "the app is not open: use its engine inside `async with app:`"


class App:
    """Functions, workflows and the engine that runs them.

    `async with app:` opens the engine and drives runs in this process; with `drive=False` it reads and commands only,
    beside another process that drives. `db` wins over the settings of the environment and `stepwell.toml`. `clock`
    is what the engine and the guards of the server go by. `spans`, an OpenTelemetry span processor of the program's
    own, is given the spans of runs in place of the setting `otel_endpoint`.
    """

    def __init__(
        self,
        *,
        db: str | None = None,
        drive: bool = True,
        settings: Settings | None = None,
        clock: Clock | None = None,
        spans: "SpanProcessor | None" = None,
    ) -> None:
        self.db = db
        self.drive = drive
        self.clock: Clock = clock if clock is not None else SystemClock()
        self._spans = spans
        self.functions = Functions()
        self.function = self.functions.function
        self._settings = settings
        self._native = NativePrograms()
        self._code = CodePrograms(self.clock.now)
        self._workflows: dict[str, tuple[str, str]] = {}
        """Name to kind and version of what `add_workflow` registered."""
        self._documents: list[Path] = []
        self._engine: Engine | None = None
        self._lock: FileLock | None = None

    @cached_property
    def parts(self) -> Parts:
        """What the app is made of besides what is registered here. Made when the settings are final."""
        return Parts(self.settings, functions=self.functions, clock=self.clock, spans=self._spans)

    @property
    def files(self) -> Files | None:
        """The files that runs were given; None when there is no place to keep them (a database in memory)."""
        return self.parts.files

    # --- registering ------------------------------------------------------------------------------------------------

    @overload
    def workflow(self, program: _Program, /) -> _Program: ...

    @overload
    def workflow(
        self, program: None = None, /, *, name: str | None = None, version: str = ""
    ) -> Callable[[_Program], _Program]: ...

    def workflow(
        self, program: _Program | None = None, /, *, name: str | None = None, version: str = ""
    ) -> _Program | Callable[[_Program], _Program]:
        """Register `async def program(ctx, input)` as a workflow, as a decorator with or without options."""

        def register(program: _Program) -> _Program:
            self.add_workflow(name or program.__name__, program, version=version)
            return program

        return register if program is None else register(program)

    def add_workflow(
        self,
        name: str,
        workflow: "Program | LlamaWorkflow",
        *,
        version: str = "",
        additional_events: "Sequence[type[Event]]" = (),
    ) -> None:
        """Register an async function over a `RunContext` and the run's input, or a LlamaIndex `Workflow` object.

        `additional_events`: classes of such a workflow that no step names, but that may be posted to it.
        Raises `StepwellError`.
        """
        self._must_be_closed(f"the workflow {name!r} can be registered")
        if name in self._workflows:
            raise StepwellError(f"expected a new name, found {name!r}, under which a workflow is registered")
        if is_workflow(workflow):
            self._code.add(name, workflow, additional_events)
            self._workflows[name] = self._code.kind, version
        elif inspect.iscoroutinefunction(workflow):
            self._native.add(name, workflow)
            self._workflows[name] = self._native.kind, version
        else:
            raise StepwellError(
                f"workflow {name!r}: expected `async def program(ctx, input)`, found {type(workflow).__name__}"
                " (which is no LlamaIndex `Workflow` object either)"
            )

    @property
    def hosted(self) -> int:
        """How many LlamaIndex workflows are registered."""
        return sum(kind == self._code.kind for kind, _ in self._workflows.values())

    def check_workflows(self) -> dict[str, str]:
        """What is wrong with the LlamaIndex workflows that are registered, by name."""
        wrong: dict[str, str] = {}
        for name, (kind, _) in self._workflows.items():
            if kind == self._code.kind:
                try:
                    self._code.compile(name)
                except InvalidDefinitionError as fault:
                    wrong[name] = "; ".join(found.message for found in fault.faults)
        return wrong

    def load(self, path: str | Path) -> None:
        """Take a flow document, or the `*.yaml`, `*.yml` and `*.json` files of a folder; checked at `open`.

        Raises `DocumentError` when there is nothing under the path, `StepwellError` while the app is open.
        """
        self._must_be_closed(f"{path} can be loaded")
        self._documents += documents.find_documents(path)

    def _must_be_closed(self, what: str) -> None:
        """What is registered is saved by `open`: later it would be kept and never known to the engine."""
        if self._engine is not None:
            raise StepwellError(f"the app is open: {what} before `async with app:` only")

    def configure(self, settings: Settings, *, drive: bool = True) -> None:
        """Settings in place of those given before: the command line's, when it hosts this app."""
        self._settings, self.db, self.drive = settings, None, drive
        self.__dict__.pop("parts", None)

    # --- opening and closing ----------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings in force. Raises `SettingsError`."""
        if self._settings is None:
            self._settings = load_settings().settings
        return self._settings if self.db is None else msgspec.structs.replace(self._settings, db=self.db)

    @property
    def is_open(self) -> bool:
        """Whether its engine can be used."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The open engine. Raises `NotOpenError`."""
        if self._engine is None:
            raise NotOpenError
        return self._engine

    async def open(self, *, only: str | None = None) -> None:
        """Open the database, save what was registered, take up open runs (only `only` and its children, if given).

        Raises `StorageError`, `InvalidDocumentsError`, `SettingsError`.
        """
        if self._engine is not None:
            raise StepwellError("the app is open already")
        engine: Engine | None = None
        try:
            parts = self.parts
            _ = parts.connections  # what is wrong with it is said now
            self._prepare_file(parts.store)
            engine = self._new_engine(parts.store, only)
            await parts.open_files()
            await engine.open(drive=self.drive)
            parts.token_key = await _token_key(engine)
            await self._save_definitions(engine)
        except BaseException:
            await self._let_go(engine, grace_s=0)
            raise
        self._engine = engine

    async def close(self, *, grace_s: float | None = None) -> None:
        """Give the steps in flight `grace_s` seconds (default: the setting), then let go of everything."""
        engine, self._engine = self._engine, None
        await self._let_go(engine, grace_s=self.settings.shutdown_grace_s if grace_s is None else grace_s)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def asgi(self) -> "Starlette":
        """The server: every door that exists. Its lifespan opens the app, unless that is open already."""
        from stepwell.serving import Serving

        return Serving(self).server()

    # --- composing --------------------------------------------------------------------------------------------------

    async def knows_callers(self) -> bool:
        """Whether tokens are set up, or an API key is good now: without, only this machine may call."""
        now = self.engine.clock.now()
        keys = ApiKeys(self.engine.store, row=Record)
        return takes_tokens(self.settings) or any(key.state(now) == "active" for key in await keys.list())

    def _prepare_file(self, store: Store) -> None:
        """The file must exist for who only reads and commands; who drives it takes its lock."""
        path = file_of(store)
        if path is None:
            return
        if self.drive:
            if not path.absolute().parent.is_dir():
                raise StorageError(
                    f"the folder {path.absolute().parent} does not exist: create it, or name another --db"
                )
            self._lock = FileLock(str(path)).acquire()
        elif not path.exists():
            raise StorageError(f"there is no database {path}: name one with --db (a first run or server creates it)")

    def _new_engine(self, store: Store, only: str | None) -> Engine:
        settings, parts = self.settings, self.parts
        dispatch = dispatch_of(store, settings)
        if only is not None and not store.shared:  # beside other nodes, it is one of them while it lasts

            async def parent_of(run_id: str) -> str | None:
                created = (await store.events(run_id, 0, 1))[:1]
                parent = created[0].parent if created and isinstance(created[0], RunCreated) else None
                return parent.run_id if parent else None

            dispatch = FamilyDispatch(dispatch, root=only, parent_of=parent_of)
        return Engine(
            store=store,
            dispatch=dispatch,
            programs=[parts.flows, self._native, self._code, *parts.plans, parts.pipelines],
            clock=self.clock,
            webhooks=parts.webhooks,
            files=parts.files,
            tracing=parts.tracing,
            options=EngineOptions(
                idle_s=settings.idle_s,
                keep_ended_s=settings.keep_ended_s,
                max_depth=settings.max_depth,
                audit_chain=settings.audit_chain,
                audit_key=settings.audit_key.encode(),
                limits=read_limits(settings.workflow_limits),
            ),
        )

    async def _save_definitions(self, engine: Engine) -> None:
        if not self.drive:
            return
        for name, (kind, version) in self._workflows.items():
            await engine.save(kind=kind, name=name, version=version, text=name)
        for document in documents.check_documents(self._documents, self.parts.kinds):
            await engine.save(kind=document.kind, name=document.name, version=document.version, text=document.text)

    async def _let_go(self, engine: Engine | None, *, grace_s: float) -> None:
        """Undo an `open`, as far as it came. The next one makes its own parts."""
        try:
            if engine is not None:
                await engine.close(grace_s=grace_s)
        finally:
            parts, lock = self.__dict__.pop("parts", None), self._lock
            self._lock = None
            try:
                if parts is not None:
                    await parts.aclose()
            finally:
                if lock is not None:
                    lock.release()


async def _token_key(engine: Engine) -> bytes:
    """The key of callback tokens: random, made once for a database, so that it outlives every process."""
    fresh = Record(kind="secret", id="callbacks", data={"key": secrets.token_hex(32)})
    await engine.store.put_record(fresh, expect_version=0)
    kept = await engine.store.get_records("secret", id="callbacks")
    return bytes.fromhex(kept[0].data["key"])
