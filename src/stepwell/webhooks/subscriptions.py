"""Who is told of what: asked at every commit, so it is in memory, and read again when somebody changed it."""

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID, uuid5

import msgspec

from stepwell.core.state import State
from stepwell.store.model import Delivery
from stepwell.webhooks.endpoints import Endpoint, callbacks_id
from stepwell.webhooks.messages import Commit, Links, Message, messages
from stepwell.webhooks.types import ENDED, expand

_ENDED: Final = frozenset(ENDED)
_NAMESPACE: Final = UUID("5b0f7c1e-6f0c-5d0e-9a53-7a7a2d5a0c11")


class Subscription(msgspec.Struct, frozen=True):
    """An endpoint that is switched on, and the types it asks for."""

    endpoint: str
    types: frozenset[str]


class Subscriptions:
    """Makes the deliveries of a commit (`engine.journal.Notices`)."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._owners: dict[str, list[Subscription]] = {}

    @property
    def owners(self) -> Mapping[str, object]:
        """The owners whose runs somebody is told of. Always the same object: looking is one look into a dict."""
        return self._owners

    def set(self, endpoints: Iterable[Endpoint]) -> None:
        """All endpoints there are."""
        self._owners.clear()
        for endpoint in endpoints:
            if endpoint.enabled and endpoint.events:
                subscription = Subscription(endpoint.id, expand(endpoint.events))
                self._owners.setdefault(endpoint.owner, []).append(subscription)

    def deliveries(self, commit: Commit, now: float) -> list[Delivery]:
        """What is to be sent because of a commit, to whom, in the order of its events."""
        state = commit.state
        subscriptions = self._owners.get(state.owner, [])
        wanted = frozenset[str]().union(*(one.types for one in subscriptions), _callback_types(state))
        found = []
        for message in messages(commit, wanted, self._links):
            told = [one.endpoint for one in subscriptions if message.type in one.types]
            found += [delivery_of(message, endpoint, now, run_id=state.run_id) for endpoint in told]
            if message.type in _callback_types(state):
                callbacks = callbacks_id(state.owner)
                found.append(delivery_of(message, callbacks, now, run_id=state.run_id, url=state.callback_url))
        return found


def _callback_types(state: State) -> frozenset[str]:
    return _ENDED if state.callback_url else frozenset()


def delivery_of(message: Message, endpoint: str, now: float, *, run_id: str = "", url: str = "") -> Delivery:
    """A delivery that is due now."""
    return Delivery(
        id=str(uuid5(_NAMESPACE, f"{endpoint} {message.id}")),
        endpoint=endpoint,
        message=message.id,
        type=message.type,
        body=message.body,
        created_at=now,
        run_id=run_id,
        url=url,
        due_at=now,
    )
