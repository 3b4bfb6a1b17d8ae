"""The one table of each door that maps exceptions to answers, and what every such table has to know."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import InvalidInputError, RefusedError, StorageError, WorkflowNotFoundError
from stepwell.doors.kit import faults as f
from stepwell.doors.kit.answers import Wrong
from stepwell.doors.kit.seeing import storage_text
from stepwell.security.doors import PRINCIPAL
from stepwell.security.masking import MASKS
from stepwell.security.refusals import AccessError, Refusal

log = structlog.get_logger()

Row = Callable[[Any], Wrong]
"""An exception of the row's class to what is answered."""
Word = Callable[[Scope, Wrong], Response]
"""Puts a failure into a door's shape."""

EXPECTED: Final[frozenset[type[Exception]]] = frozenset(
    {
        *(f.InvalidRequestError, f.NotJsonError, f.MediaTypeError, f.MissingError),
        *(f.KeyReusedError, f.KeyPendingError),
        *(RefusedError, InvalidDefinitionError, InvalidInputError, WorkflowNotFoundError, StorageError),
        *(AccessError, HTTPException, Exception),
    }
)
"""Every door meets these. The nearest base class of an exception decides, so `Exception` is the last resort."""


class ErrorTable:
    """`rows` has at least `EXPECTED`; `word` puts what they give into the door's shape."""

    def __init__(self, rows: Mapping[type[Exception], Row], *, word: Word) -> None:
        missing = sorted(kind.__name__ for kind in EXPECTED - rows.keys())
        if missing:
            raise TypeError(f"an error table needs rows for {', '.join(missing)}")
        self._rows = rows
        self._word = word

    def answer(self, scope: Scope, error: Exception) -> Response:
        """What an exception is answered with. One that nobody foresaw is logged; the client learns nothing of it."""
        if isinstance(error, ClientDisconnect):
            return Response(None, 400)  # in the middle of its request: nobody reads this, and nothing is wrong here
        kind = next(kind for kind in type(error).__mro__ if kind in self._rows)
        if isinstance(error, HTTPException):
            error = HTTPException(error.status_code, http_detail(scope, error), error.headers)
        if isinstance(error, StorageError):
            error = _storage_told(scope, error)
        if kind is Exception:
            log.error("request.failed", method=scope["method"], path=MASKS.text(scope["path"]), exc_info=error)
        return self._word(scope, self._rows[kind](error))

    def refuse(self, scope: Scope, refusal: Refusal) -> Response:
        """What `security/` refuses before the door sees it, in the door's words."""
        error = AccessError(refusal.reason, refusal.detail, retry_after_s=refusal.retry_after_s)
        return self.answer(scope, error)


def _storage_told(scope: Scope, error: StorageError) -> StorageError:
    """The fault in the words for this caller; in its own, where they are others, in the log."""
    told = storage_text(error, scope.get(PRINCIPAL))
    if told != str(error):
        log.warning("request.store_failed", method=scope["method"], path=MASKS.text(scope["path"]), error=str(error))
    return StorageError(told, told=told)


def http_detail(scope: Scope, error: HTTPException) -> str:
    """What Starlette says of a path or method that is not there, in a sentence."""
    if error.status_code == 404:
        return f"there is nothing at {scope['path']}"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "other methods")
        return f"{scope['path']} does not take {scope['method']}, but {allowed}"
    return error.detail
