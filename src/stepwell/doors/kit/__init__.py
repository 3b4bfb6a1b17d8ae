"""What the doors share: declaring operations, reading requests, wording errors, idempotency keys, pages, streams."""

from stepwell.doors.kit.answers import Reply, Unfinished, Wrong, json_response
from stepwell.doors.kit.api import Api, NewDuty
from stepwell.doors.kit.calls import Call
from stepwell.doors.kit.errors import ErrorTable
from stepwell.doors.kit.faults import (
    Fault,
    InvalidRequestError,
    KeyPendingError,
    KeyReusedError,
    MediaTypeError,
    MissingError,
    NotJsonError,
)
from stepwell.doors.kit.instants import instant
from stepwell.doors.kit.operations import Answer, Operation
from stepwell.doors.kit.paging import Cursor, Found, NumberedPage, OffsetPage, read_cursor, write_cursor
from stepwell.doors.kit.reading import decode_json, decode_part, media_type, read_body, read_query
from stepwell.doors.kit.shapes import read_value
from stepwell.doors.kit.streams import EventStream, Message, Position, last_position, position_of, read_position
from stepwell.doors.kit.waiting import Waited, wait_for_end

__all__ = [
    "Answer",
    "Api",
    "Call",
    "Cursor",
    "ErrorTable",
    "EventStream",
    "Fault",
    "Found",
    "InvalidRequestError",
    "KeyPendingError",
    "KeyReusedError",
    "MediaTypeError",
    "Message",
    "MissingError",
    "NewDuty",
    "NotJsonError",
    "NumberedPage",
    "OffsetPage",
    "Operation",
    "Position",
    "Reply",
    "Unfinished",
    "Waited",
    "Wrong",
    "decode_json",
    "decode_part",
    "instant",
    "json_response",
    "last_position",
    "media_type",
    "position_of",
    "read_body",
    "read_cursor",
    "read_position",
    "read_query",
    "read_value",
    "wait_for_end",
    "write_cursor",
]
