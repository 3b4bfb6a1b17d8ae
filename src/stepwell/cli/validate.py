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


def validate(*files: Annotated[Path, Parameter(help="Documents, or folders of them.")], app: AppName = None) -> None:
    """Check documents of flows and pipelines, and the LlamaIndex workflows of --app; exits with 2 for a fault."""
    if not files and not app:
        say("stepwell validate: requires an argument: a document, a folder of them, or --app")
        raise ExitError(REFUSED)
    hosting = import_app(app) if app else App()
    kinds = hosting.parts.kinds
    wrong = [f"{app}: {name}: {fault}" for name, fault in hosting.check_workflows().items()]
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
    for line in (*faults, *wrong):
        print(line)
    for unreadable in unread:
        say(f"stepwell: {unreadable}")
    if read or not unread:
        found = [_count(read, "document")] if files else []
        found += [_count(number, "workflow")] if (number := hosting.hosted) else []
        say(", ".join([*found, _count(len(faults) + len(wrong), "fault")]))
    if faults or wrong or unread:
        raise ExitError(REFUSED)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
