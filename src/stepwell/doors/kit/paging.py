"""Pages of lists: by `limit` with `offset` or `cursor`, and by `page` with `limit`.

A cursor is opaque: base64url of a small JSON object, `{"before": "<id>"}` (the list goes on behind that one, quick
however deep) or `{"offset": 50}`.
"""

import base64
import binascii
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from stepwell.doors.kit.faults import Fault, InvalidRequestError

MAX_LIMIT: Final = 100
MAX_OFFSET: Final = 10**9

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="how many at most")]

T = TypeVar("T")


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where a page begins: behind the thing with the id `before`, or after `offset` things."""

    before: str | None = None
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET)] = 0


class OffsetPage(msgspec.Struct, frozen=True, kw_only=True):
    """Query parameters of a list. `offset` is ignored when `cursor` is there. Inherit for filters."""

    limit: Limit = 20
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="how many to leave out")] = 0
    cursor: Annotated[str | None, Meta(description="where the page before ended, from its answer")] = None

    @property
    def start(self) -> Cursor:
        """Where this page begins. Raises `InvalidRequestError`."""
        return Cursor(offset=self.offset) if self.cursor is None else read_cursor(self.cursor)


class NumberedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Query parameters of a list whose pages are counted from 1. Inherit for filters."""

    page: Annotated[int, Meta(ge=1, le=10**7, description="which page, from 1")] = 1
    limit: Limit = 10

    @property
    def offset(self) -> int:
        """How many things come before this page."""
        return (self.page - 1) * self.limit


class Found(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page: what is on it, how many there are in all, and where the next begins (None: it is the last)."""

    items: list[T]
    total: int
    next: Cursor | None = None


def write_cursor(cursor: Cursor) -> str:
    """As clients get it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """As clients give it back. Raises `InvalidRequestError` that names the parameter `cursor`."""
    try:
        raw: Any = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=Cursor)
    except (binascii.Error, ValueError):
        fault = Fault(path=("cursor",), message="expected a cursor from the page before, found another text")
        raise InvalidRequestError([fault]) from None
