"""What a run is to be started with, checked by what it is to run: the same for the doors that name its variables."""

from typing import Any

from stepwell.doors.kit.calls import Call
from stepwell.doors.kit.faults import Fault, InvalidRequestError
from stepwell.store.model import Definition


async def check_input(call: Call, definition: Definition, input: Any, field: str) -> None:
    """Raises `InvalidRequestError` that names each variable, as a part of `field`."""
    compiled = await call.engine.workflows.compiled(definition.digest)
    found = {} if compiled.check_input is None else await compiled.check_input(input)
    faults = [
        Fault(path=(field, *((name,) if name else ())), message=message)
        for name, messages in found.items()
        for message in messages
    ]
    if faults:
        raise InvalidRequestError(faults)
