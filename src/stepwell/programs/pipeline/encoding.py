"""Content of messages: JSON text, or protobuf bytes with an optional prefix of two bytes."""

from typing import Any, Final, Protocol

import msgspec

JSON: Final = msgspec.json.Encoder(decimal_format="number")
"""Exact decimals are numbers in JSON."""
JSON_TYPE: Final = "application/json"
PROTOBUF_TYPE: Final = "application/x-protobuf"
PREFIX_BYTES: Final = 2
MESSAGE_TYPE_PREFIX: Final = {"kafka": 1, "rabbit": 2}


class MessageSchema(Protocol):
    """A protobuf message type."""

    name: str

    def encode(self, payload: Any) -> bytes:
        """The payload by proto3's JSON mapping. Raises `ValueError` for one that does not fit."""


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """How the messages of a stage are written when they are not JSON. `prefix` stands before the bytes."""

    schema: Any  # a MessageSchema, which msgspec has no type for
    prefix: bytes = b""
    prefix_source: str = ""
