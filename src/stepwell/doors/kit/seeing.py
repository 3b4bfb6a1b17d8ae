"""What a caller may see: another owner's run is no run, and where the database is concerns this machine only."""

from stepwell.core.errors import RunNotFoundError, StorageError
from stepwell.core.history import RunCreated
from stepwell.core.principal import Principal
from stepwell.engine import Engine


async def created_of(engine: Engine, principal: Principal, run_id: str) -> RunCreated:
    """How a run began. Raises `RunNotFoundError`, for a run of somebody else as for none."""
    created = (await engine.history(run_id, limit=1))[0]
    if not isinstance(created, RunCreated) or not principal.may_see(created.owner):
        raise RunNotFoundError(run_id)
    return created


def is_here(principal: Principal | None) -> bool:
    """Whether a caller sits at this machine, and may know of its paths and of the database's host."""
    return principal is not None and principal.type == "local"


def storage_text(fault: StorageError, principal: Principal | None) -> str:
    """What a caller (None: it is not known yet, or there is none) is told of the database's trouble."""
    return str(fault) if is_here(principal) else fault.told
