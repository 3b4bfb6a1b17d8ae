"""Files of runs: what is written is read back, nothing lies outside the folder, and all of it goes with its run."""

import os
from pathlib import Path

import pytest

from stepwell.core.errors import StorageUnavailableError
from stepwell.engine.ids import new_id
from stepwell.files import BUFFERED, FileMissingError, FolderFiles, base_name

RUN = new_id(1_750_000_000.0)


@pytest.fixture
def files(tmp_path: Path) -> FolderFiles:
    return FolderFiles(tmp_path / "files")


async def test_file_is_read_back_as_it_was_written(files: FolderFiles) -> None:
    pieces = [os.urandom(BUFFERED // 3) for _ in range(10)]
    incoming = files.begin(RUN, filename="a.pdf", content_type="application/pdf")
    for piece in pieces:
        await incoming.write(piece)
    reference = await incoming.finish()
    assert files.path(reference).read_bytes() == b"".join(pieces)
    assert (reference.filename, reference.content_type, reference.size) == ("a.pdf", "application/pdf", incoming.size)
    assert files.path({"objectId": reference.object_id}) == files.path(reference.object_id)


async def test_empty_file_is_a_file(files: FolderFiles) -> None:
    reference = await files.begin(RUN, filename="empty", content_type="").finish()
    assert (files.path(reference).read_bytes(), reference.size) == (b"", 0)


async def test_names_on_disk_are_not_the_senders_and_nobody_else_reads_them(
    files: FolderFiles, tmp_path: Path
) -> None:
    for name in ("../../etc/passwd", "..", "C:\\a\\b.txt", "a\x00b", ""):
        reference = await files.begin(RUN, filename=name, content_type="").finish()
        path = files.path(reference)
        assert path.parent == tmp_path / "files" / RUN
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a.pdf", "a.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\b.txt", "b.txt"),
        ("/tmp/", "tmp"),
        ("..", "file"),
        ("", "file"),
        ("a\r\nb", "ab"),
        ("ä ö.txt", "ä ö.txt"),
        ("x" * 300, "x" * 255),
    ],
)
def test_shown_name_is_the_last_part(sent: str, shown: str) -> None:
    assert base_name(sent) == shown


@pytest.mark.parametrize(
    "object_id",
    ["", "a", f"{RUN}.", f"{RUN}.{'0' * 32}", f"{RUN}/../{'0' * 32}", "../x"],
    ids=["empty", "short", "no file", "another file", "upwards", "outside"],
)
def test_unknown_file_is_missing(files: FolderFiles, object_id: str) -> None:
    with pytest.raises(FileMissingError, match="there is no file"):
        files.path(object_id)


async def test_files_go_with_their_run(files: FolderFiles) -> None:
    other = new_id(1_750_000_001.0)
    kept = await files.begin(other, filename="b", content_type="").finish()
    for name in ("a", "b"):
        await files.begin(RUN, filename=name, content_type="").finish()
    assert await files.run_ids() == [RUN, other]
    await files.drop([RUN, "../..", "nobody"])
    assert await files.run_ids() == [other]
    assert files.path(kept).exists()


async def test_nothing_is_there_before_the_first_file(files: FolderFiles, tmp_path: Path) -> None:
    await files.drop([RUN])
    assert await files.run_ids() == []
    assert os.listdir(tmp_path) == []


async def test_disk_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    incoming = FolderFiles(tmp_path / "files").begin(RUN, filename="a", content_type="")
    with pytest.raises(StorageUnavailableError, match="check the disk"):
        await incoming.write(b"x" * BUFFERED)
