"""`stepwell migrate`: all of a SQLite database into a PostgreSQL one; the same again goes on where it ended."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stepwell.cli.output import say, write_table
from stepwell.databases import is_postgres
from stepwell.settings import SettingsError


def migrate(
    *,
    from_: Annotated[str, Parameter(name="--from", help="SQLite database to copy, like sqlite:///stepwell.db.")],
    to: Annotated[str, Parameter(help="PostgreSQL database, empty or left half-way by this command.")],
    files: Annotated[str, Parameter(help="Folder of its runs' files, where that is not beside it.")] = "",
) -> None:
    """Copy all runs, documents and files; compare counts and hashes of every table."""
    if not from_.startswith("sqlite:///") or not is_postgres(to):
        raise SettingsError("expected --from sqlite:///file.db and --to postgresql://user@host/database")
    if files and not Path(files).is_dir():
        raise SettingsError(f"--files {files}: there is no such folder")
    from stepwell.moving import move

    path = from_.removeprefix("sqlite:///")
    copied = asyncio.run(move(path, to, files=Path(files or f"{path}.files")))
    write_table(
        ("table", "rows", "sha256"), [(one.table, str(one.rows), one.digest[:16]) for one in copied], empty=""
    )
    say("every table has the same rows and the same hash in both databases")
