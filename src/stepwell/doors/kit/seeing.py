"""Which runs a caller may see: another owner's run is no run."""

from stepwell.core.errors import RunNotFoundError
from stepwell.core.history import RunCreated
from stepwell.core.principal import Principal
from stepwell.engine import Engine


async def created_of(engine: Engine, principal: Principal, run_id: str) -> RunCreated:
    """How a run began. Raises `RunNotFoundError`, for a run of somebody else as for none."""
    created = (await engine.history(run_id, limit=1))[0]
    if not isinstance(created, RunCreated) or not principal.may_see(created.owner):
        raise RunNotFoundError(run_id)
    return created
