"""`OpenAiAgents`: asks a chat endpoint with the `openai` library, streamed (`programs.plan.agents_port.AgentRunner`).

The library is imported with the first turn: it costs 30 MB and a second, and most servers never need it. It tries
nothing again by itself, since steps do; whose account it is says the key alone, not the environment.
"""

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepwell.core.errors import StepFailure
from stepwell.core.place import TRACEPARENT
from stepwell.core.program import StepContext
from stepwell.programs.agents.answers import Answer
from stepwell.programs.agents.faults import failure, not_set_up
from stepwell.programs.agents.port import AgentRequest, AgentTurn
from stepwell.programs.agents.questions import question
from stepwell.programs.http import no_cookies

if TYPE_CHECKING:
    import httpx
    from openai import AsyncOpenAI

LIBRARY: Final = "openai"
MISSING: Final = "agent steps need the library openai, which is not installed: pip install 'stepwell[agents]'"
CONNECT_S: Final = 10.0


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`base_url` is the endpoint up to `/v1`; `model` the one of steps that name none. `api_key` gives the key each
    time it is needed, "" for endpoints that take none. `silence_s`: how long an answer may pause.
    """

    base_url: str
    model: str = ""
    api_key: Callable[[], str] = str
    silence_s: float = 120.0


class OpenAiAgents:
    """`transport` makes what requests go through (an egress guard); `hide` takes secrets out of texts."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        transport: "Callable[[], httpx.AsyncBaseTransport] | None" = None,
        hide: Callable[[str], str] = str,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._hide = hide
        self._http: httpx.AsyncClient | None = None
        self._client: AsyncOpenAI | None = None

    async def turn(self, request: AgentRequest, step: StepContext) -> AgentTurn:
        """One answer. Raises `StepFailure`."""
        model = request.model or self._settings.model
        if not model:
            raise not_set_up("expected a model in the step or in the setting agent_model, found none")
        key = self._settings.api_key()
        answer = Answer(step)
        try:
            completions = self._open().chat.completions
            stream: Any = await completions.create(**question(request, model), extra_headers=_headers(step, key))
            async with stream:
                async for chunk in stream:
                    answer.take(chunk)
            return answer.turn()
        except StepFailure as fault:
            raise self._hidden(fault, key) from None
        except Exception as fault:
            raise self._hidden(failure(fault), key) from fault

    async def aclose(self) -> None:
        """Close all connections; the next turn opens new ones."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.aclose()

    def _open(self) -> "AsyncOpenAI":
        if self._client is not None:
            return self._client
        import httpx

        try:
            from openai import AsyncOpenAI
        except ImportError:
            raise not_set_up(MISSING) from None

        timeout = httpx.Timeout(self._settings.silence_s, connect=CONNECT_S)
        self._http = httpx.AsyncClient(
            transport=self._transport() if self._transport is not None else None,
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            cookies=no_cookies(),
        )
        http: Any = self._http  # typed as the library's own fork of httpx; it takes both
        self._client = AsyncOpenAI(
            base_url=self._settings.base_url,
            api_key="in the headers",
            max_retries=0,
            timeout=self._settings.silence_s,
            http_client=http,
        )
        return self._client

    def _hidden(self, fault: StepFailure, key: str) -> StepFailure:
        """Providers repeat the key, or a part of it, in what they say of it."""
        detail = fault.problem.detail.replace(key, "***") if key else fault.problem.detail
        return StepFailure(msgspec.structs.replace(fault.problem, detail=self._hide(detail)))


def has_library() -> bool:
    """Whether agents can be asked from this installation; imports nothing."""
    return importlib.util.find_spec(LIBRARY) is not None


def _headers(step: StepContext, key: str) -> dict[str, Any]:
    """What the library would take from the environment is left out."""
    from openai import Omit

    return {
        "Authorization": f"Bearer {key}" if key else Omit(),
        "Idempotency-Key": step.idempotency_key,
        **({TRACEPARENT: step.traceparent} if step.traceparent else {}),
        "OpenAI-Organization": Omit(),
        "OpenAI-Project": Omit(),
    }
