"""New runs: what a caller gives is checked, and the first events of a run are put on disk, once for a start key."""

import math
from contextlib import suppress
from typing import Any

import msgspec

from stepwell.core import history as h
from stepwell.core.approvals import MAX_TIMEOUT_S
from stepwell.core.errors import InvalidInputError, ProgramError, RefusedError, RunNotFoundError
from stepwell.engine.attempts import recorded
from stepwell.engine.drivers import Drivers
from stepwell.engine.ids import canonical_uuid
from stepwell.engine.results import Started
from stepwell.engine.tracing import Tracing
from stepwell.store.model import NAME_LABEL


class Creator:
    """Puts new runs on disk and has them driven."""

    def __init__(self, drivers: Drivers, tracing: Tracing | None = None) -> None:
        self._drivers = drivers
        self._tracing = tracing

    async def create(self, events: list[h.AnyEvent], start_key: str | None) -> Started:
        created = events[0]
        assert isinstance(created, h.RunCreated)
        if self._tracing is not None and not created.trace:
            events[0] = created = msgspec.structs.replace(created, trace=self._tracing.begin(created.run_id))
        try:
            if self._drivers.desk.holds(created.run_id):  # its caller chose the id, and not for the first time
                with suppress(RunNotFoundError):
                    async with self._drivers.desk.borrow(created.run_id) as journal:
                        await journal.durable()
                    return Started(run_id=created.run_id, created=False)
            await self._create_new(created, events, start_key)
        except RefusedError as refusal:
            if refusal.code != "exists":
                raise
            return Started(run_id=refusal.run_id, created=False)
        return Started(run_id=created.run_id)

    async def _create_new(self, created: h.RunCreated, events: list[h.AnyEvent], start_key: str | None) -> None:
        journal = self._drivers.new_journal()
        journal.start_key = start_key
        with self._drivers.desk.lend_new(created.run_id, journal):
            journal.append(events)
            self._drivers.take_up(journal)
            await journal.durable()


def labels_of(given: dict[str, str] | None, title: str) -> dict[str, str]:
    """The labels of a run, the name of its workflow among them where that is not the engine's."""
    return {NAME_LABEL: title, **(given or {})} if title else given or {}


def as_input(value: Any) -> msgspec.Raw:
    """A value as it goes on record. Raises `InvalidInputError` for what JSON cannot hold."""
    try:
        raw, _ = recorded(value)
    except ProgramError as fault:
        raise InvalidInputError(str(fault)) from None
    return raw


def check_creation(created: h.RunCreated, start_key: str | None) -> None:
    """That what a caller gave can be written and read back. Raises `InvalidInputError`."""
    try:
        h.parse_events(h.encode_events([created]))
        (start_key or "").encode()
        canonical = canonical_uuid(created.run_id)
    except (msgspec.ValidationError, TypeError, ValueError, AttributeError) as fault:
        raise InvalidInputError(f"the run cannot be created like this: {fault}") from None
    if canonical != created.run_id:  # doors look for the usual form
        raise InvalidInputError(f"run_id: expected a UUID in lower case, found {created.run_id!r}")
    if created.start_at is not None and not math.isfinite(created.start_at):
        raise InvalidInputError(f"start_at: expected seconds since the epoch, found {created.start_at}")
    if created.timeout_s is not None and not 0 < created.timeout_s <= MAX_TIMEOUT_S:
        raise InvalidInputError(
            f"run_timeout_s: expected seconds above 0, at most 100 years, found {created.timeout_s}"
        )
