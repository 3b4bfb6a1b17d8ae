"""`stepwell backup`: a copy of the database, and of the files of its runs, while a server goes on with it."""

import shutil
from pathlib import Path
from typing import Annotated

import apsw
from cyclopts import Parameter

from stepwell.cli.options import HERE, Json, Where
from stepwell.cli.output import say, write_json
from stepwell.core.errors import StepwellError, StorageError
from stepwell.databases import file_of, store_of
from stepwell.store.sqlite.connection import connect, faults_named


class BackupError(StepwellError):
    """A backup that cannot be made; nothing is left of it."""


def backup(
    target: Annotated[Path, Parameter(help="The file to write; it must not exist.")],
    /,
    *,
    json: Json = False,
    where: Where = HERE,
) -> None:
    """Copy the database as it stands at one instant, then check the copy."""
    settings = where.settings().settings
    source = file_of(store_of(settings))
    if source is None:
        raise BackupError("only a database file is copied here: use pg_dump for PostgreSQL")
    if not source.exists():
        raise StorageError(f"there is no database {source}: name one with --db")
    size = copy_database(source, target)
    files = Path(settings.files_dir or f"{source}.files")
    copied = copy_files(files, Path(f"{target}.files"))
    if json:
        write_json({"database": str(target), "bytes": size, "files": copied})
    else:
        say(f"{target}: {size} bytes, checked{f'; {copied} files' if copied else ''}")


def copy_database(source: Path, target: Path) -> int:
    """Write `target`, checked and whole, or nothing; its size in bytes.

    One step of SQLite's backup reads one view of the database, so that writers go on and none of theirs is half in
    it. Raises `BackupError`, `StorageError`.
    """
    if target.exists():
        raise BackupError(f"{target} exists: name a file that does not")
    if not target.absolute().parent.is_dir():
        raise BackupError(f"the folder {target.absolute().parent} does not exist: create it")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with faults_named(str(source)):
            _copy(str(source), str(part))
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return target.stat().st_size


def _copy(source: str, part: str) -> None:
    reading, writing = connect(source, read_only=True), apsw.Connection(part)
    try:
        with writing.backup("main", reading, "main") as copying:
            copying.step(-1)
        writing.execute("PRAGMA journal_mode = delete")  # one file, with nothing beside it
        found = writing.execute("PRAGMA integrity_check(5)").fetchall()
        if found != [("ok",)]:
            raise StorageError(f"the copy is damaged ({found[0][0]}): check the disk, and the database {source}")
    finally:
        reading.close()
        writing.close()


def copy_files(source: Path, target: Path) -> int:
    """Copy the files of runs; how many. They are written before the run that has them, so the copy lacks none."""
    if not source.is_dir():
        return 0
    try:
        shutil.copytree(source, target)
    except OSError as fault:
        raise BackupError(f"the files in {source} cannot be copied to {target}: {fault}") from None
    return sum(file.is_file() for file in target.rglob("*"))
