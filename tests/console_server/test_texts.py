"""What a page says of the database's trouble."""

import msgspec

from stepwell.console.visitor import text_of
from stepwell.core.errors import RefusedError, StorageError
from stepwell.core.principal import LOCAL, Principal

ADMIN = Principal(type="api_key", id="ops", owner="ops", scopes=("read", "write", "admin"))
FAULT = StorageError("the disk that holds /data/a.db is full", told="the disk is full")


def test_only_this_machine_is_told_where_the_database_is() -> None:
    assert text_of(FAULT, LOCAL) == "the disk that holds /data/a.db is full"
    assert text_of(FAULT, ADMIN) == "the disk is full"
    assert text_of(FAULT, msgspec.structs.replace(ADMIN, type="user")) == "the disk is full"


def test_of_a_refusal_it_says_the_message() -> None:
    assert text_of(RefusedError("wrong_status", "it has ended"), ADMIN) == "it has ended"
