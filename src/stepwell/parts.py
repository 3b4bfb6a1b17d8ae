"""What an app is made of besides what its user registers: the concrete classes, each made when it is first asked for.

With `app.py`, `serving.py`, `databases.py` and `moving.py` the only place that names them.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepwell import documents
from stepwell.brokers.options import BROKER, BrokerOptions, read_options
from stepwell.brokers.registry import BrokerRegistry
from stepwell.connections import Connections, read_connections
from stepwell.databases import files_of, store_of
from stepwell.doors.access import agent_rules, egress_rules
from stepwell.engine.clock import Clock
from stepwell.engine.ids import workflow_uuid
from stepwell.files import Files
from stepwell.programs.agents import MISSING, AgentSettings, OpenAiAgents, has_library
from stepwell.programs.callbacks import SecretTokens
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions
from stepwell.programs.http import HttpxClient
from stepwell.programs.jq import JqWorkers
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
from stepwell.security.egress.rules import EgressRules, check_url
from stepwell.security.masking import MASKS
from stepwell.settings import Settings, SettingsError
from stepwell.sources.port import SOURCE, SourceOptions
from stepwell.sources.registry import SourceRegistry
from stepwell.store.port import Store
from stepwell.webhooks import Links, Webhooks, WebhookSettings, sending

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from stepwell.security.egress.transport import GuardedTransport
    from stepwell.tracing import OtelTracing

ITEMS_AT_ONCE: Final = 5
"""Of a pipeline's stream, each of up to 2,000 messages."""


class Parts:
    """The parts of one app from its opening, or before, to its closing. `settings` are final.

    What is wrong with the settings of a part is said when it is first asked for: `SettingsError`.
    """

    token_key: bytes = b""
    """What tokens of callbacks are made with; known once the database is open."""

    def __init__(
        self, settings: Settings, *, functions: Functions, clock: Clock, spans: "SpanProcessor | None" = None
    ) -> None:
        self._settings = settings
        self._functions = functions
        self._clock = clock
        self._spans = spans
        self._made = AsyncExitStack()

    async def aclose(self) -> None:
        """Let go of what was made, the last first."""
        await self._made.aclose()

    # --- what is kept -----------------------------------------------------------------------------------------------

    @cached_property
    def store(self) -> Store:
        """The database; who opens it closes it."""
        return store_of(self._settings, now=self._clock.now)

    @cached_property
    def files(self) -> Files | None:
        """The files that runs were given; None when there is no place to keep them (a database in memory)."""
        return files_of(self._settings, self.store)

    async def open_files(self) -> None:
        """Get ready to keep files. Raises `StorageError`."""
        if self.files is not None:
            self._made.push_async_callback(self.files.close)
            await self.files.open()

    # --- programs ---------------------------------------------------------------------------------------------------

    @cached_property
    def flows(self) -> FlowPrograms:
        """Flow documents as programs, with all that they may use from outside."""
        return FlowPrograms(
            functions=self._functions,
            http=self._operator_http,
            expressions=self.expressions,
            secrets=ServerSecrets(),
            processes=self._processes if self._settings.allow_processes else None,
            callbacks=self._callbacks,
            agents=self.agents,
        )

    @cached_property
    def plans(self) -> list[PlanPrograms]:
        """Documents that come through a door, as programs, with all that they may use from outside."""
        services = Services(
            functions=self._functions,
            http=self.guarded_http,
            expressions=self.expressions,
            callbacks=self._callbacks,
            agents=self.agents,
            no_agents="" if has_library() else MISSING,
        )
        return [
            PlanPrograms(TEMPLATE, read_template, services),
            PlanPrograms(DEFINITION, read_definition, services),
        ]

    @cached_property
    def pipelines(self) -> PipelinePrograms:
        """Event pipelines as programs."""
        retry_s = self._settings.broker_retry_s
        return PipelinePrograms(
            Outside(brokers=self.brokers, records=self.sources, items_of=self._items_of, broker_retry_s=retry_s)
        )

    @property
    def kinds(self) -> documents.Kinds:
        """What reads documents in files."""
        return documents.Kinds(flows=self.flows, pipelines=self.pipelines, schemas=lambda: self.connections.schemas)

    # --- what programs use ------------------------------------------------------------------------------------------

    @cached_property
    def expressions(self) -> JqWorkers:
        """Evaluates jq; its workers start with the first expression that needs them."""
        workers = JqWorkers()
        self._made.push_async_callback(workers.close)
        return workers

    @cached_property
    def _processes(self) -> LocalProcesses:
        processes = LocalProcesses()
        self._made.push_async_callback(processes.aclose)
        return processes

    @cached_property
    def agents(self) -> OpenAiAgents | None:
        """Asks language models for agent steps; None when no endpoint is set."""
        settings = self._settings
        if not settings.agent_base_url:
            return None
        rules, secrets = agent_rules(settings), ServerSecrets()

        def api_key() -> str:
            return settings.agent_api_key or str(secrets.find("agent_api_key") or "")

        agents = OpenAiAgents(
            AgentSettings(
                base_url=settings.agent_base_url,
                model=settings.agent_model,
                api_key=api_key,
                silence_s=settings.agent_silence_s,
            ),
            transport=lambda: _guarded(rules),
            hide=MASKS.text,
        )
        self._made.push_async_callback(agents.aclose)
        return agents

    @cached_property
    def _callbacks(self) -> SecretTokens:
        return SecretTokens(lambda: self.token_key, base_url=self.base_url)

    @property
    def base_url(self) -> str:
        """How the server is reached from outside, without a slash at its end."""
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return (settings.public_url or f"http://{host}:{settings.port}").rstrip("/")

    # --- brokers and data sources -----------------------------------------------------------------------------------

    @cached_property
    def connections(self) -> Connections:
        """Brokers, data sources and schemas of the operator's file."""
        return read_connections(self._settings.connections)

    @cached_property
    def brokers(self) -> BrokerRegistry:
        """Brokers by name: those of the operator's file, then those that came through a door."""
        brokers = BrokerRegistry(self._broker_options)
        self._made.push_async_callback(brokers.aclose)
        return brokers

    @cached_property
    def sources(self) -> SourceRegistry:
        """Data sources by name, as for brokers."""
        sources = SourceRegistry(self._source_options)
        self._made.push_async_callback(sources.aclose)
        return sources

    async def _broker_options(self, type: str, name: str) -> BrokerOptions | None:
        configured = self.connections.brokers.get((type, name))
        if configured is not None:
            return configured
        found = await self.store.get_records(BROKER, id=f"{type}/{name}")
        return read_options(found[0].id, found[0].data) if found else None

    async def _source_options(self, name: str) -> SourceOptions | None:
        configured = self.connections.sources.get(name)
        if configured is not None:
            return configured
        for record in await self.store.get_records(SOURCE):
            if record.id.partition("/")[2] == name:
                return msgspec.convert(record.data["options"], SourceOptions)
        return None

    async def _items_of(self, run_id: str, keys: Collection[str]) -> AsyncIterator[Any]:
        """The data of a run's newest items, all of them of steps under these keys; oldest first, a page at a time."""
        store = self.store
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

    # --- HTTP to elsewhere ------------------------------------------------------------------------------------------

    @cached_property
    def egress(self) -> EgressRules:
        """Which addresses may be called for what came through a door."""
        return egress_rules(self._settings)

    def check_url(self, url: str) -> None:
        """Whether a URL that came through a door may be called, as far as its text tells. Raises `ValueError`."""
        check_url(url, self.egress)

    @cached_property
    def _operator_http(self) -> HttpxClient:
        """For documents of the operator (files, `load`), who may call any address."""
        return self._client(None)

    @cached_property
    def guarded_http(self) -> HttpxClient:
        """For documents and other URLs that came through a door: every address is checked first."""
        return self._client(self.egress)

    @cached_property
    def webhooks(self) -> Webhooks:
        """Messages about runs to endpoints, of whose answers nobody wants to know more than the status."""
        client = self._client(self.egress, timeout_s=sending.TIMEOUT_S, max_response_bytes=sending.MAX_ANSWER_BYTES)
        return Webhooks(
            self.store,
            client,
            check_url=self.check_url,
            now=self._clock.now,
            settings=WebhookSettings(links=Links(base_url=self.base_url, workflow_id=workflow_uuid)),
        )

    def _client(self, rules: EgressRules | None, **limits: Any) -> HttpxClient:
        transport: Callable[[], GuardedTransport] | None = None if rules is None else lambda: _guarded(rules)
        client = HttpxClient(transport=transport, **limits)
        self._made.push_async_callback(client.aclose)
        return client

    @cached_property
    def tracing(self) -> "OtelTracing | None":
        """Where the spans of runs go; None when they go nowhere."""
        endpoint = self._settings.otel_endpoint
        if self._spans is None and not endpoint:
            return None
        try:
            from stepwell.tracing import OtelTracing, exporting_to
        except ImportError:
            raise SettingsError("traces need the extra otel: pip install 'stepwell[otel]'") from None
        tracing = OtelTracing(self._spans if self._spans is not None else exporting_to(endpoint), hide=MASKS.text)
        self._made.push_async_callback(tracing.aclose)
        return tracing


def _guarded(rules: EgressRules) -> "GuardedTransport":
    from stepwell.security.egress.transport import GuardedTransport  # here, since it brings httpx (0.1 s)

    return GuardedTransport(rules)
