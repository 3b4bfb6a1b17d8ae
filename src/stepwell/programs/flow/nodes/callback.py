"""`call: callback`: hands out a token and waits until somebody completes the task with it.

With a `url` the token is POSTed there, in a step; the wait is open while that goes on, so an answer may come before
the POST is through. The outcome comes as the signal `callback:<hash of the token>` with the data
`{"status": "completed", "output": ...}` or `{"status": "failed", "error": {"code", "message"}}`.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from stepwell.core.errors import ProgramError, StepFailure
from stepwell.core.program import Branch, RunContext, SignalValue, StepContext
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.programs.callbacks import CallbackTokens, signal_of
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.exchange import send
from stepwell.programs.flow.nodes.failures import placed
from stepwell.programs.flow.nodes.hiding import NOTHING, hidden_in
from stepwell.programs.flow.nodes.scope import Scope, date_time, evaluate, failure
from stepwell.programs.http import HttpClient, HttpRequest


class CallbackCall(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that is asked for, all expressions evaluated. `at` is the pointer of its arguments; `retry` and
    `post_timeout_s` are of the POST.
    """

    at: str
    url: Any = None
    payload: Any = None
    timeout_s: Any = None
    heartbeat_timeout_s: float | None = None
    retry: RetryPolicy = NO_RETRY
    post_timeout_s: float | None = None
    hidden: Any = NOTHING
    shown: Any = None
    """What a view shows as the input, where that is something."""


class CallbackNode:
    """`arguments` gives an object of `url`, `payload` and `timeout_seconds`, as far as they are there."""

    def __init__(
        self, arguments: Expression, client: HttpClient | None, tokens: CallbackTokens | None, *, name: str, at: str
    ) -> None:
        self._arguments = arguments
        self._callback = Callback(client, tokens, name=name, at=at)
        self._at = f"{at}/with"

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        variables = scope.variables(self._arguments, value)
        given = await evaluate(self._arguments, value, variables, self._at)
        call = CallbackCall(
            at=self._at,
            url=given.get("url"),
            payload=given.get("payload"),
            timeout_s=given.get("timeout_seconds"),
            hidden=hidden_in(variables.get("secrets")),
        )
        return await self._callback.outcome(scope.strand.ctx, key, call)


class Callback:
    """Asks for callbacks of one task, whose pointer is `at`."""

    def __init__(self, client: HttpClient | None, tokens: CallbackTokens | None, *, name: str, at: str) -> None:
        self._client = client
        self._tokens = tokens
        self._name = name
        self._at = at

    async def outcome(self, ctx: RunContext, key: str, call: CallbackCall) -> Any:
        """The output that the callback brought. Raises `ProgramError` when it failed, or none came in time."""
        if self._tokens is None:
            raise failure("configuration", "there is nobody who issues tokens for callbacks", self._at, status=400)
        tokens, timeout_s = self._tokens, self._seconds(call)
        nonce = await ctx.record(f"{key}/callback/nonce", tokens.nonce())
        token = tokens.token(ctx.run.id, nonce)
        deadline = None if timeout_s is None else ctx.now + timeout_s
        handed_out = {
            "url": tokens.url(token),
            "token": token,
            "expires_at": None if deadline is None else date_time(deadline)["iso8601"],
        }
        post = None
        if call.url is not None:
            post = self._post(key, call, {"payload": call.payload, "callback": handed_out})
        try:
            signal = await self._signal(ctx, key, signal_of(token), deadline, post, call)
        except ProgramError as error:
            forget = (*error.forget, *_of_token(key))
            raise ProgramError(placed(error, self._at).problem, tuple(dict.fromkeys(forget))) from None
        return self._outcome(signal, timeout_s, key)

    @staticmethod
    def _seconds(call: CallbackCall) -> float | None:
        found = call.timeout_s
        if found is None or (isinstance(found, int | float) and not isinstance(found, bool) and found > 0):
            return found
        raise failure(
            "validation",
            f"expected a number of seconds above 0, found {describe(found)}",
            f"{call.at}/timeout_seconds",
            status=400,
        )

    async def _signal(
        self,
        ctx: RunContext,
        key: str,
        signal: str,
        deadline: float | None,
        post: Branch | None,
        call: CallbackCall,
    ) -> SignalValue | None:
        """What the callback brought; None when nobody called in time."""

        async def wait(ctx: RunContext) -> Any:
            found = await ctx.wait(
                key,
                signal,
                deadline=deadline,
                heartbeat_timeout_s=call.heartbeat_timeout_s,
                name=self._name,
                reason="callback",
                input=call.shown,
            )
            return None if found is None else msgspec.to_builtins(found)

        if post is None:
            found = await wait(ctx)
        else:
            found, _ = cast(list[Any], await ctx.race(f"{key}/callback", {"wait": wait, "post": post}, until="all"))
        return None if found is None else msgspec.convert(found, SignalValue)

    def _post(self, key: str, call: CallbackCall, body: Mapping[str, Any]) -> Branch:
        """Sends the token, in a step."""
        url, hidden = call.url, call.hidden
        if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
            raise failure(
                "expression",
                f"expected a URI of http or https, found {describe(url)}",
                f"{call.at}/url",
                status=400,
            )
        if self._client is None:
            raise failure("configuration", "there is no HTTP client to call with", self._at, status=400)
        client, post_key = self._client, f"{key}/callback/post"

        async def work(step: StepContext) -> int:
            content = {"run_id": step.run_id, "step_key": key, "attempt": step.attempt, **body}
            request = messages.with_key(
                HttpRequest(
                    method="POST",
                    url=url,
                    headers={"Content-Type": "application/json"},
                    content=messages.json_bytes(content),
                ),
                step.idempotency_key,
            )
            response = await send(client, request, None, hidden)
            if not 200 <= response.status <= 299:
                raise StepFailure(messages.refusal(request, response, 299, hidden))
            return response.status

        async def post(ctx: RunContext) -> None:
            try:
                await ctx.step(
                    post_key, work, name=self._name, retry=call.retry, timeout_s=call.post_timeout_s, input=call.shown
                )
            except ProgramError as error:
                raise placed(error, self._at) from None

        return post

    def _outcome(self, signal: SignalValue | None, timeout_s: float | None, key: str) -> Any:
        """Retrying the run asks anew, with a new token: all that is under `key` is forgotten."""
        if signal is None:
            raise failure(
                "callback_timeout",
                f"expected a callback within {timeout_s:g} s, found none",
                self._at,
                status=408,
                retryable=True,
                forget=_of_token(key),
            )
        found = signal.data if isinstance(signal.data, dict) else {"output": signal.data}
        if found.get("status") != "failed":
            return found.get("output") if "status" in found or "output" in found else found
        error = found.get("error")
        code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, error)
        detail = ": ".join(str(part) for part in (code, message) if part) or "the callback says no more"
        raise failure("callback_failed", detail, self._at, data=error, forget=_of_token(key))


def _of_token(key: str) -> tuple[str, ...]:
    """The keys of all that belongs to one token."""
    return (f"{key}/callback/nonce", f"{key}/callback/post", key)
