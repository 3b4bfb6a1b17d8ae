"""What the errors of the core say, and to whom."""

import pytest

from stepwell.core.errors import NewerHistoryError, NotRecordableError, StorageError, StorageUnavailableError

WHY = "the database /srv/runs.db is damaged: restore it from a backup"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (StorageError(WHY), "the database cannot do this; the server's log says why"),
        (StorageError(WHY, told="the database is damaged"), "the database is damaged"),
        (StorageUnavailableError(WHY, told="wait a while"), "wait a while"),
        (NotRecordableError("a lone surrogate"), "a lone surrogate"),
        (NewerHistoryError(ValueError("Unheard")), str(NewerHistoryError(ValueError("Unheard")))),
    ],
)
def test_callers_from_elsewhere_are_told_where_no_database_is(fault: StorageError, told: str) -> None:
    assert fault.told == told
    assert "/srv" not in fault.told
