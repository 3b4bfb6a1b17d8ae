"""`stepwell validate`: what is wrong with documents, as `file:line: pointer: message`. Uses no network."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stepwell.app import App
from stepwell.cli.faults import REFUSED, ExitError
from stepwell.cli.opening import import_app
from stepwell.cli.options import AppName
from stepwell.cli.output import say
from stepwell.documents import DocumentError, FileFault, InvalidDocumentsError, check_document, find_documents


def validate(
    *files: Annotated[Path, Parameter(required=True, help="Documents, or folders of them.")], app: AppName = None
) -> None:
    """Check documents of flows and pipelines; exits with 2 when there is a fault."""
    kinds = (import_app(app) if app else App()).kinds
    paths: list[Path] = []
    faults: list[FileFault] = []
    unread: list[DocumentError] = []
    for file in files:
        try:
            paths += find_documents(file)
        except DocumentError as error:
            unread.append(error)
    read = len(paths)
    for path in paths:
        try:
            check_document(path, kinds)
        except InvalidDocumentsError as error:
            faults += error.faults
        except DocumentError as error:
            unread.append(error)
            read -= 1
    for fault in faults:
        print(fault)
    for unreadable in unread:
        say(f"stepwell: {unreadable}")
    if read or not unread:
        say(f"{_count(read, 'document')}, {_count(len(faults), 'fault')}")
    if faults or unread:
        raise ExitError(REFUSED)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
