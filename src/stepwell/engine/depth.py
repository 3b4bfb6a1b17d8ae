"""How deep runs may start runs: a workflow that starts itself, directly or through others, must come to an end."""

from stepwell.core import history as h
from stepwell.core.errors import problem


def too_deep(created: h.RunCreated, max_depth: int) -> list[h.AnyEvent]:
    """The end of a run that more than `max_depth` workflows led to: it fails before it begins. Else nothing.

    The run is there all the same, so that whoever looks for it finds the reason: a child's parent is told by its end,
    a run that an event or a detached start asked for has nobody else to tell. A retry is somebody's own decision.
    """
    depth = len(created.lineage)
    if depth <= max_depth:
        return []
    chain = " > ".join((*created.lineage, created.workflow))
    error = problem(
        "runtime",
        f"expected at most {max_depth} workflows (max_depth) that start one another, found {depth}: {chain}",
        title="Nested too deep",
        retryable=False,
    )
    return [h.RunFailed(at=created.at, error=error)]
