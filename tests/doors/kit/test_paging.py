"""Cursors are opaque, and anything else in their place is refused by name."""

import base64

import pytest

from stepwell.doors.kit import Cursor, InvalidRequestError, NumberedPage, OffsetPage, read_cursor, write_cursor


@pytest.mark.parametrize("cursor", [Cursor(), Cursor(offset=50), Cursor(before="0190-ü")])
def test_cursor_comes_back_as_it_was(cursor: Cursor) -> None:
    text = write_cursor(cursor)

    assert text.isascii()
    assert "=" not in text
    assert read_cursor(text) == cursor


def test_cursor_of_an_offset_is_the_published_form() -> None:
    assert read_cursor(base64.urlsafe_b64encode(b'{"offset":50}').decode()) == Cursor(offset=50)


@pytest.mark.parametrize("text", ["", "7", "!!!!", "e30x", "ü", "eyJvZmZzZXQiOi0xfQ", "eyJhIjoxfQ"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="cursor: expected a cursor from the page before"):
        read_cursor(text)


def test_cursor_wins_over_offset() -> None:
    page = OffsetPage(offset=3, cursor=write_cursor(Cursor(before="x")))

    assert page.start == Cursor(before="x")
    assert OffsetPage(offset=3).start == Cursor(offset=3)


def test_numbered_pages_begin_with_one() -> None:
    assert [NumberedPage(page=page, limit=10).offset for page in (1, 2, 5)] == [0, 10, 40]
