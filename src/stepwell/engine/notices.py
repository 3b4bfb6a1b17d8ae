"""Who is told elsewhere of what happens to runs: the port that the journal writes their webhooks through."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from stepwell.core.status import Status, WaitReason
from stepwell.engine.projections import Shown
from stepwell.store.model import Delivery
from stepwell.webhooks.messages import Commit


class Notices(Protocol):
    """What others are told is on disk with the events that it tells of."""

    @property
    def owners(self) -> Mapping[str, object]:
        """Whose runs somebody is told of: looking into it is all that the others pay. Always the same object."""

    def deliveries(self, commit: Commit, now: float) -> Sequence[Delivery]:
        """What is to be sent because of a commit."""


class _Nobody:
    owners: Mapping[str, object] = {}

    def deliveries(self, commit: Commit, now: float) -> Sequence[Delivery]:  # noqa: ARG002  # the port's signature
        return ()


NOBODY: Final[Notices] = _Nobody()
"""Nobody is told of anything."""


def begins_to_ask(before: Shown | None, after: Shown | None) -> bool:
    """Whether a run that looked like `before` and looks like `after` has come to wait for people."""
    return _asks(after) and not _asks(before)


def _asks(look: Shown | None) -> bool:
    return look is not None and look[0] is Status.WAITING and look[1] == WaitReason.APPROVAL
