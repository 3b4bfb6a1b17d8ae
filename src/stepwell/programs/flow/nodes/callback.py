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
from stepwell.programs.callbacks import CallbackTokens, signal_of
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.exchange import send
from stepwell.programs.flow.nodes.failures import placed
from stepwell.programs.flow.nodes.hiding import Hidden, hidden_in
from stepwell.programs.flow.nodes.scope import Scope, date_time, evaluate, failure
from stepwell.programs.http import HttpClient, HttpRequest


class CallbackNode:
    """`arguments` gives an object of `url`, `payload` and `timeout_seconds`, as far as they are there."""

    def __init__(
        self, arguments: Expression, client: HttpClient | None, tokens: CallbackTokens | None, *, name: str, at: str
    ) -> None:
        self._arguments = arguments
        self._client = client
        self._tokens = tokens
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        if self._tokens is None:
            raise failure("configuration", "there is nobody who issues tokens for callbacks", self._at, status=400)
        ctx, tokens = scope.strand.ctx, self._tokens
        variables = scope.variables(self._arguments, value)
        given = await evaluate(self._arguments, value, variables, f"{self._at}/with")
        timeout_s = self._seconds(given.get("timeout_seconds"))
        nonce = await ctx.record(f"{key}/callback/nonce", tokens.nonce())
        token = tokens.token(ctx.run.id, nonce)
        deadline = None if timeout_s is None else ctx.now + timeout_s
        callback = {
            "url": tokens.url(token),
            "token": token,
            "expires_at": None if deadline is None else date_time(deadline)["iso8601"],
        }
        post = None
        if given.get("url") is not None:
            body = {"payload": given.get("payload"), "callback": callback}
            post = self._post(key, given["url"], body, hidden_in(variables.get("secrets")))
        signal = await self._signal(ctx, key, signal_of(token), deadline, post)
        return self._outcome(signal, timeout_s, key)

    def _seconds(self, found: Any) -> float | None:
        if found is None or (isinstance(found, int | float) and not isinstance(found, bool) and found > 0):
            return found
        raise failure(
            "validation",
            f"expected a number of seconds above 0, found {describe(found)}",
            f"{self._at}/with/timeout_seconds",
            status=400,
        )

    async def _signal(
        self, ctx: RunContext, key: str, signal: str, deadline: float | None, post: Branch | None
    ) -> SignalValue | None:
        """What the callback brought; None when nobody called in time."""

        async def wait(ctx: RunContext) -> Any:
            found = await ctx.wait(key, signal, deadline=deadline, name=self._name, reason="callback")
            return None if found is None else msgspec.to_builtins(found)

        if post is None:
            found = await wait(ctx)
        else:
            found, _ = cast(list[Any], await ctx.race(f"{key}/callback", {"wait": wait, "post": post}, until="all"))
        return None if found is None else msgspec.convert(found, SignalValue)

    def _post(self, key: str, url: Any, body: Mapping[str, Any], hidden: Hidden) -> Branch:
        """Sends the token, in a step."""
        if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
            raise failure(
                "expression",
                f"expected a URI of http or https, found {describe(url)}",
                f"{self._at}/with/url",
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
                await ctx.step(post_key, work, name=self._name)
            except ProgramError as error:
                raise placed(error, self._at) from None

        return post

    def _outcome(self, signal: SignalValue | None, timeout_s: float | None, key: str) -> Any:
        """Retrying the run asks anew, with a new token: all that is under `key` is forgotten."""
        forget = (f"{key}/callback/nonce", f"{key}/callback/post", key)
        if signal is None:
            raise failure(
                "callback_timeout",
                f"expected a callback within {timeout_s:g} s, found none",
                self._at,
                status=408,
                retryable=True,
                forget=forget,
            )
        found = signal.data if isinstance(signal.data, dict) else {"output": signal.data}
        if found.get("status") != "failed":
            return found.get("output") if "status" in found or "output" in found else found
        error = found.get("error")
        code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, error)
        detail = ": ".join(str(part) for part in (code, message) if part) or "the callback says no more"
        raise failure("callback_failed", detail, self._at, data=error, forget=forget)
