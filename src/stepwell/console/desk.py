"""What every page of the console is given: the engine, who may come in, and the beat that live pages follow."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from stepwell.console.pulse import Pulse
from stepwell.console.sights import Sights
from stepwell.core.principal import Principal
from stepwell.documents import Kinds
from stepwell.engine import Engine
from stepwell.security.call import Call
from stepwell.security.refusals import Refusal

DESK: Final = "stepwell.console"
"""Its place in the scope of a request."""

Authenticate = Callable[[Call], Awaitable[Principal | Refusal]]


class Desk:
    """One server's. `kinds` reads documents (for the playground), `expressions` evaluates what schemas need,
    `storage_bytes` tells how much the database takes (None: unknown here).
    """

    def __init__(
        self,
        *,
        engine: Engine,
        authenticate: Authenticate,
        kinds: Kinds,
        expressions: Any,
        database: str,
        storage_bytes: Callable[[], int | None],
    ) -> None:
        self.engine = engine
        self.authenticate = authenticate
        self.kinds = kinds
        self.expressions = expressions
        self.database = database
        self.storage_bytes = storage_bytes
        self.pulse = Pulse(engine)
        self.sights = Sights(self.pulse)
