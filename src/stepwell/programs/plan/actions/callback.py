"""`callback`: hands out a token and waits for who comes back with it. Another attempt is another token."""

from typing import Any

from stepwell.programs.flow.nodes.callback import Callback, CallbackCall
from stepwell.programs.plan.actions.port import policy_of
from stepwell.programs.plan.model import Callback as CallbackModel
from stepwell.programs.plan.scope import Place


class CallbackAction:
    BY_ITSELF = FAILS_BY_ITSELF = REPEATS = False
    KEEPS_TIME = True

    def __init__(self, callback: CallbackModel) -> None:
        self._callback = callback

    async def perform(self, place: Place) -> Any:
        model, step, services = self._callback, place.step, place.facts.services
        url, payload = place.filled(model.url, "url"), place.filled(model.payload, "payload")
        timeout_s = place.seconds(model.timeout_s, "timeout_s")
        call = CallbackCall(
            at=place.config_at,
            url=url,
            payload=payload,
            timeout_s=step.timeout_s if timeout_s is None else timeout_s,
            heartbeat_timeout_s=step.heartbeat_timeout_s,
            retry=policy_of(step),
            hidden=place.veil.hidden,
            shown=place.veil.value({"url": url, "payload": payload}),
        )
        callback = Callback(services.client, services.tokens, name=step.name, at=place.at)
        return place.veil.value(await callback.outcome(place.ctx, place.key, call))
