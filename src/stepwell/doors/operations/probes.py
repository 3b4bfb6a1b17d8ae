"""What operations looks at that is not a run: can the store write, how much is being driven."""

from typing import Final

import structlog

from stepwell.core.errors import StorageError
from stepwell.engine import Engine
from stepwell.store.model import Record

log = structlog.get_logger()
_PROBE: Final = Record(kind="probe", id="ready", data={})


async def store_fault(engine: Engine) -> StorageError | None:
    """Why the store cannot work now; None when it can. Writes one small row: a full disk still reads."""
    try:
        await engine.store.put_record(_PROBE)
    except StorageError as fault:
        log.warning("probe.store_failed", error=str(fault))
        return fault
    return None


def active_runs(engine: Engine) -> int:
    """Runs in memory now."""
    return len(engine.drivers.active)
