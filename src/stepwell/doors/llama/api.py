"""The llama door as two objects, one for each dialect, each with all operations declared on it."""

from collections.abc import Sequence
from typing import Final

from stepwell.doors.guards import PROBES
from stepwell.doors.kit import Api, NewDuty
from stepwell.doors.llama import cancelling, describing, listing, posting, results, starting, streaming
from stepwell.doors.llama.dialect import D29, NEW, Dialect
from stepwell.doors.llama.errors import error_table
from stepwell.doors.llama.forgetting import ForgetHandlers
from stepwell.doors.llama.wire import Failure
from stepwell.security.authentication import DoorRules

_PARTS: Final = (describing, starting, results, streaming, posting, listing, cancelling)
_ROOTS: Final = ("/workflows", "/handlers", "/events", "/results", "/health")
"""Probes are answered by the operations door, in the words of this one."""


def api_of(dialect: Dialect, *, duties: Sequence[NewDuty] = ()) -> Api:
    """The door in one dialect."""
    api = Api(
        dialect.name,
        title=dialect.title,
        prefixes=[dialect.prefix] if dialect.prefix else _ROOTS,
        errors=error_table(dialect),
        error_type=str if dialect.errors_are_text else Failure,
        error_media_type="text/plain" if dialect.errors_are_text else "application/json",
        duties=duties,
        rules=DoorRules(
            streams=lambda path: path.startswith(f"{dialect.prefix}/events/"), is_open=PROBES.__contains__
        ),
    )
    for part in _PARTS:
        part.declare(api, dialect)
    return api


apis: Final = [api_of(D29, duties=[ForgetHandlers]), api_of(NEW)]
