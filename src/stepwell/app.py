"""The application: what a user registers, and the composition root that makes an engine of it.

The only place that names concrete classes (with `cli/` and `doors/` on top of it). What is registered is kept until
`open`, so that a workflow may be loaded before the functions it calls are defined.
"""

import inspect
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

import msgspec

from stepwell import documents
from stepwell.brokers.options import BROKER, BrokerOptions, read_options
from stepwell.brokers.registry import BrokerRegistry
from stepwell.connections import Connections, read_connections
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import StepwellError, StorageError
from stepwell.core.history import RunCreated
from stepwell.core.program import Program
from stepwell.databases import bytes_of, dispatch_of, file_of, files_of, store_of
from stepwell.dispatch.family import FamilyDispatch
from stepwell.dispatch.limits import read_limits
from stepwell.dispatch.local import FileLock
from stepwell.doors.access import access_rules, agent_rules, egress_rules, takes_tokens, token_verifier
from stepwell.engine import Engine, EngineOptions
from stepwell.engine.clock import Clock, SystemClock
from stepwell.engine.ids import workflow_uuid
from stepwell.files import Files
from stepwell.programs.agents import MISSING, AgentSettings, OpenAiAgents, has_library
from stepwell.programs.callbacks import SecretTokens
from stepwell.programs.code import CodePrograms, is_workflow
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions
from stepwell.programs.http import HttpxClient
from stepwell.programs.jq import JqWorkers
from stepwell.programs.native import NativePrograms
from stepwell.programs.pipeline.outside import Outside
from stepwell.programs.pipeline.programs import PipelinePrograms
from stepwell.programs.plan.definitions import KIND as DEFINITION
from stepwell.programs.plan.definitions import read_definition
from stepwell.programs.plan.programs import PlanPrograms
from stepwell.programs.plan.scope import Services
from stepwell.programs.plan.templates import KIND as TEMPLATE
from stepwell.programs.plan.templates import read_template
from stepwell.programs.processes import LocalProcesses
from stepwell.programs.secrets import ServerSecrets
from stepwell.security.authentication import Authenticator
from stepwell.security.egress.rules import EgressRules, check_url
from stepwell.security.keys import ApiKeys, FirstKey
from stepwell.security.masking import MASKS, mask_access_log
from stepwell.settings import Settings, SettingsError, load_settings, masked
from stepwell.sources.port import SOURCE, SourceOptions
from stepwell.sources.registry import SourceRegistry
from stepwell.store.port import Record, Store
from stepwell.webhooks import Links, Webhooks, WebhookSettings, sending

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from starlette.applications import Starlette
    from workflows import Workflow as LlamaWorkflow
    from workflows.events import Event

    from stepwell.console import Console
    from stepwell.doors.kit import Api
    from stepwell.security.egress.transport import GuardedTransport
    from stepwell.tracing import OtelTracing

_Program = TypeVar("_Program", bound=Program)
ITEMS_AT_ONCE: Final = 5
"""Of a pipeline's stream, each of up to 2,000 messages."""


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
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._spans = spans
        self.functions = Functions()
        self.function = self.functions.function
        self._settings = settings
        self._native = NativePrograms()
        self._code = CodePrograms(self._clock.now)
        self._operator_http = HttpxClient()
        """For documents of the operator (files, `load`), who may call any address."""
        self._jq = JqWorkers()
        self._jq_closed = False
        self._processes = LocalProcesses()
        self.brokers = BrokerRegistry(self._broker_options)
        self.sources = SourceRegistry(self._source_options)
        self._token_key = b""
        self._workflows: dict[str, tuple[str, str]] = {}
        """Name to kind and version of what `add_workflow` registered."""
        self._documents: list[Path] = []
        self._engine: Engine | None = None
        self._console: Console | None = None
        self._lock: FileLock | None = None

    @cached_property
    def flows(self) -> FlowPrograms:
        """Flow documents as programs, with all that they may use from outside. Made when the settings are final."""
        settings = self.settings
        return FlowPrograms(
            functions=self.functions,
            http=self._operator_http,
            expressions=self._jq,
            secrets=ServerSecrets(),
            processes=self._processes if settings.allow_processes else None,
            callbacks=SecretTokens(lambda: self._token_key, base_url=self.base_url),
            agents=self.agents,
        )

    @property
    def base_url(self) -> str:
        """How the server is reached from outside, without a slash at its end."""
        settings = self.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return (settings.public_url or f"http://{host}:{settings.port}").rstrip("/")

    @cached_property
    def plans(self) -> list[PlanPrograms]:
        """Documents that come through a door, as programs, with all that they may use from outside."""
        services = Services(
            functions=self.functions,
            http=self.guarded_http,
            expressions=self._jq,
            callbacks=SecretTokens(lambda: self._token_key, base_url=self.base_url),
            agents=self.agents,
            no_agents="" if has_library() else MISSING,
        )
        return [
            PlanPrograms(TEMPLATE, read_template, services),
            PlanPrograms(DEFINITION, read_definition, services),
        ]

    @cached_property
    def agents(self) -> OpenAiAgents | None:
        """Asks language models for agent steps; None when no endpoint is set. Raises `SettingsError`."""
        settings = self.settings
        if not settings.agent_base_url:
            return None
        rules, secrets = agent_rules(settings), ServerSecrets()

        def api_key() -> str:
            return settings.agent_api_key or str(secrets.find("agent_api_key") or "")

        return OpenAiAgents(
            AgentSettings(
                base_url=settings.agent_base_url,
                model=settings.agent_model,
                api_key=api_key,
                silence_s=settings.agent_silence_s,
            ),
            transport=lambda: _guarded(rules),
            hide=MASKS.text,
        )

    @cached_property
    def pipelines(self) -> PipelinePrograms:
        """Event pipelines as programs."""
        retry_s = self.settings.broker_retry_s
        return PipelinePrograms(
            Outside(brokers=self.brokers, records=self.sources, items_of=self._items_of, broker_retry_s=retry_s)
        )

    @cached_property
    def connections(self) -> Connections:
        """Brokers, data sources and schemas of the operator's file. Raises `SettingsError`."""
        return read_connections(self.settings.connections)

    @property
    def kinds(self) -> documents.Kinds:
        """What reads documents in files."""
        return documents.Kinds(flows=self.flows, pipelines=self.pipelines, schemas=lambda: self.connections.schemas)

    @cached_property
    def egress(self) -> EgressRules:
        """Which addresses may be called for what came through a door. Raises `SettingsError`."""
        return egress_rules(self.settings)

    def check_url(self, url: str) -> None:
        """Whether a URL that came through a door may be called, as far as its text tells. Raises `ValueError`."""
        check_url(url, self.egress)

    @cached_property
    def guarded_http(self) -> HttpxClient:
        """For documents and other URLs that came through a door: every address is checked first."""
        return self._new_guarded_http()

    @cached_property
    def webhook_http(self) -> HttpxClient:
        """For webhooks, of whose answers nobody wants to know more than the status."""
        return self._new_guarded_http(timeout_s=sending.TIMEOUT_S, max_response_bytes=sending.MAX_ANSWER_BYTES)

    def _new_guarded_http(self, **limits: Any) -> HttpxClient:
        rules = self.egress
        return HttpxClient(transport=lambda: _guarded(rules), **limits)

    @cached_property
    def tracing(self) -> "OtelTracing | None":
        """Where the spans of runs go; None when they go nowhere. Raises `SettingsError`."""
        endpoint = self.settings.otel_endpoint
        if self._spans is None and not endpoint:
            return None
        try:
            from stepwell.tracing import OtelTracing, exporting_to
        except ImportError:
            raise SettingsError("traces need the extra otel: pip install 'stepwell[otel]'") from None
        return OtelTracing(self._spans if self._spans is not None else exporting_to(endpoint), hide=MASKS.text)

    @cached_property
    def files(self) -> Files | None:
        """The files that runs were given; None when there is no place to keep them (a database in memory)."""
        return files_of(self.settings)

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

    # --- opening and closing ----------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings in force. Raises `SettingsError`."""
        if self._settings is None:
            self._settings = load_settings().settings
        return self._settings if self.db is None else msgspec.structs.replace(self._settings, db=self.db)

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
        store = self._connection_records = store_of(self.settings, now=self._clock.now)
        _ = self.connections  # what is wrong with it is said now
        self._prepare_file(store)
        if self._jq_closed:  # else its workers start with the first expression that needs them
            await self._jq.open()
        engine = self._new_engine(store, only)
        try:
            if self.files is not None:
                await self.files.open()
            await engine.open(drive=self.drive)
            self._token_key = await _token_key(engine)
            await self._save_definitions(engine)
        except BaseException:
            await self._give_up(engine, store)
            raise
        self._engine = engine

    async def close(self, *, grace_s: float | None = None) -> None:
        """Give the steps in flight `grace_s` seconds (default: the setting), then let go of everything."""
        engine, self._engine = self._engine, None
        try:
            if engine is not None:
                await engine.close(grace_s=self.settings.shutdown_grace_s if grace_s is None else grace_s)
            if self.files is not None:
                await self.files.close()
            await self._operator_http.aclose()
            for client in ("guarded_http", "webhook_http"):
                if client in self.__dict__:
                    await self.__dict__[client].aclose()
            if self.__dict__.get("agents") is not None:
                await self.__dict__["agents"].aclose()
            await self.brokers.aclose()
            await self.sources.aclose()
            await self._processes.aclose()
            await self._jq.close()
            self._jq_closed = True
            if self.__dict__.get("tracing") is not None:
                await self.__dict__.pop("tracing").aclose()
        finally:
            self._release_lock()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def asgi(self) -> "Starlette":
        """The server: every door that exists. Its lifespan opens the app, unless that is open already."""
        # Here, since a program of its own needs no server (0.2 s).
        from stepwell.console import DOOR
        from stepwell.doors import agents, devset, events, llama, operations, runs
        from stepwell.doors.guards import guards
        from stepwell.doors.server import build

        settings = self.settings
        self._new_authenticator = partial(Authenticator, access_rules(settings), tokens=token_verifier(settings))
        doors: list[Api] = [agents.api, runs.api, devset.api, *llama.apis, events.api, operations.api]
        middleware = guards(
            settings,
            doors=[*(door.door for door in doors), DOOR],
            authenticator=lambda: self._authenticator,
            clock=self._clock.now,
        )
        if self.tracing is not None:
            middleware.insert(0, self.tracing.middleware())
        mask_access_log()
        self._console = self._new_console()
        routes = self._console.routes if self._console is not None else ()
        server = build(routes, opening=self._opened, middleware=middleware, doors=doors)
        server.state.database = masked(settings.db)
        server.state.files = self.files
        server.state.expressions = self._jq
        server.state.execute_wait_s = settings.execute_wait_s
        server.state.execute_keep_alive_s = settings.execute_keep_alive_s
        server.state.max_executions = settings.max_executions_per_run
        server.state.brokers = self.brokers
        server.state.connections = lambda: self.connections
        return server

    # --- composing --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Engine]:
        """The engine; opened and closed here, unless it is open already."""
        async with AsyncExitStack() as opened:
            if self._engine is None:
                await opened.enter_async_context(self)
            await self._open_doors(self.engine)
            if self._console is not None:
                opened.push_async_callback(self._console.close)
            yield self.engine

    async def _open_doors(self, engine: Engine) -> None:
        """Who may come in: anybody of this machine until there are tokens or an API key, then who has one."""
        keys = ApiKeys(engine.store, row=Record)
        self._authenticator = self._new_authenticator(keys=keys, has_keys=FirstKey(keys.exist).made)

    def _new_console(self) -> "Console | None":
        """The console, where it is wanted and its library is installed. Raises `SettingsError`."""
        from stepwell.console import DOOR, Console
        from stepwell.console.desk import Desk
        from stepwell.doors.access import public_origin

        settings = self.settings
        installed = find_spec("nicegui") is not None
        if settings.console and not installed:
            raise SettingsError("console is set, and its library is not installed: pip install 'stepwell[console]'")
        if settings.console is False or not installed:
            return None

        def desk() -> Desk:
            return Desk(
                engine=self.engine,
                authenticate=lambda call: self._authenticator.authenticate(call, DOOR.rules, self._clock.now()),
                kinds=self.kinds,
                expressions=self._jq,
                database=masked(settings.db),
                storage_bytes=partial(bytes_of, file_of(store_of(settings))),
            )

        secure = public_origin(settings).startswith("https:")
        return Console(desk, cookie=settings.auth_cookie, secure=secure)

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

    async def _items_of(self, run_id: str, keys: Collection[str]) -> AsyncIterator[Any]:
        """The data of a run's newest items, all of them of steps under these keys; oldest first, a page at a time."""
        store = self._connection_records
        newest = await store.stream(run_id, -1, -1)
        after = newest[0].n if newest else 0
        while after > 0:  # back to the first page that has others too
            after = max(0, after - ITEMS_AT_ONCE)
            if any(item.key not in keys for item in await store.stream(run_id, after, ITEMS_AT_ONCE)):
                break
        while items := await store.stream(run_id, after, ITEMS_AT_ONCE):
            for item in items:
                if item.key in keys:
                    yield item.data
            after = items[-1].n

    async def _broker_options(self, type: str, name: str) -> BrokerOptions | None:
        configured = self.connections.brokers.get((type, name))
        if configured is not None:
            return configured
        found = await self._connection_records.get_records(BROKER, id=f"{type}/{name}")
        return read_options(found[0].id, found[0].data) if found else None

    async def _source_options(self, name: str) -> SourceOptions | None:
        configured = self.connections.sources.get(name)
        if configured is not None:
            return configured
        for record in await self._connection_records.get_records(SOURCE):
            if record.id.partition("/")[2] == name:
                return msgspec.convert(record.data["options"], SourceOptions)
        return None

    def _new_engine(self, store: Store, only: str | None) -> Engine:
        settings = self.settings
        dispatch = dispatch_of(store, settings)
        if only is not None and not store.shared:  # beside other nodes, it is one of them while it lasts

            async def parent_of(run_id: str) -> str | None:
                created = (await store.events(run_id, 0, 1))[:1]
                parent = created[0].parent if created and isinstance(created[0], RunCreated) else None
                return parent.run_id if parent else None

            dispatch = FamilyDispatch(dispatch, root=only, parent_of=parent_of)
        webhooks = Webhooks(
            store,
            self.webhook_http,
            check_url=self.check_url,
            now=self._clock.now,
            settings=WebhookSettings(links=Links(base_url=self.base_url, workflow_id=workflow_uuid)),
        )
        return Engine(
            store=store,
            dispatch=dispatch,
            programs=[self.flows, self._native, self._code, *self.plans, self.pipelines],
            clock=self._clock,
            webhooks=webhooks,
            files=self.files,
            tracing=self.tracing,
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
        for document in documents.check_documents(self._documents, self.kinds):
            await engine.save(kind=document.kind, name=document.name, version=document.version, text=document.text)

    async def _give_up(self, engine: Engine, store: Store) -> None:
        """Undo a failed `open`, as far as it came."""
        if engine.driving:
            await engine.close(grace_s=0)
        else:
            await store.close()
        self._release_lock()

    def _release_lock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


def _guarded(rules: EgressRules) -> "GuardedTransport":
    from stepwell.security.egress.transport import GuardedTransport  # here, since it brings httpx (0.1 s)

    return GuardedTransport(rules)


async def _token_key(engine: Engine) -> bytes:
    """The key of callback tokens: random, made once for a database, so that it outlives every process."""
    fresh = Record(kind="secret", id="callbacks", data={"key": secrets.token_hex(32)})
    await engine.store.put_record(fresh, expect_version=0)
    kept = await engine.store.get_records("secret", id="callbacks")
    return bytes.fromhex(kept[0].data["key"])
