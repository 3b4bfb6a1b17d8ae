"""What hides the secrets of a run from who looks at it."""

import msgspec

from stepwell.core.program import Compiled, Hiding
from stepwell.engine.attempts import decode


def hiding_of(compiled: Compiled | None, input: msgspec.Raw) -> Hiding | None:
    """For a run of what is compiled that has this input on record; None where nothing of it is secret."""
    if compiled is None or compiled.hiding is None:
        return None
    found: Hiding = compiled.hiding(decode(input))
    return found
