"""`stepwell fmt`: flow documents in their canonical form. Uses no network."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stepwell.cli.faults import FAILED, REFUSED, ExitError
from stepwell.cli.output import say
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.documents import FileFault, find_documents, read_document
from stepwell.programs.flow.canonical import canonical


def fmt(
    *files: Annotated[Path, Parameter(required=True, help="Flow documents, or folders of them.")],
    check: Annotated[bool, Parameter(help="Write nothing; exit with 1 when a document would change.")] = False,
    write: Annotated[bool, Parameter(help="Write the documents back instead of printing them.")] = False,
) -> None:
    """Print flow documents in their canonical form, or write them back."""
    changed = faulty = 0
    for path in (path for file in files for path in find_documents(file)):
        text = read_document(path)
        try:
            formatted = canonical(text)
        except InvalidDefinitionError as error:
            faulty += 1
            for fault in error.faults:
                print(FileFault(str(path), fault), file=sys.stderr)
            continue
        changed += formatted != text
        if check or write:
            _tell(path, formatted, differs=formatted != text, write=write and not check)
        else:
            sys.stdout.write(formatted)
    if faulty:
        raise ExitError(REFUSED)
    if check and changed:
        raise ExitError(FAILED)


def _tell(path: Path, formatted: str, *, differs: bool, write: bool) -> None:
    if not differs:
        return
    if write:
        path.write_text(formatted, encoding="utf-8")
    say(f"{path}: {'written' if write else 'is written otherwise'}")
