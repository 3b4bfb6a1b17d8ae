"""Documents of workflows on disk: which files a path means, of which kind they are, and what is wrong, file by file.

A document with a `pipeline` is one of event pipelines; any other is a flow.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.core.errors import StepwellError
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.flow.reading import read
from stepwell.programs.pipeline.programs import PipelinePrograms
from stepwell.programs.pipeline.schemas import Packed

SUFFIXES: Final = (".yaml", ".yml", ".json")


class DocumentError(StepwellError):
    """A document that cannot be read at all."""


class FileFault(msgspec.Struct, frozen=True):
    """One fault of one file; reads as `file:line: pointer: message`."""

    file: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.file}:{self.fault.line or 1}: {self.fault.pointer or '/'}: {self.fault.message}"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document without faults: what it is saved as."""

    file: str
    kind: str
    name: str
    version: str
    text: str
    namespace: str = ""
    """Of a flow: names are unique without it."""


class Kinds(msgspec.Struct, frozen=True, kw_only=True):
    """What reads the documents of each kind."""

    flows: Any  # FlowPrograms and PipelinePrograms, which msgspec has no types for
    pipelines: Any
    schemas: Callable[[], Mapping[str, Packed]]
    """What pipelines may name."""

    def read(self, text: str) -> tuple[str, str, str]:
        """Kind, name and version of a document. Raises `InvalidDefinitionError` with all its faults."""
        document = self.take("", text)
        return document.kind, document.name, document.version

    def take(self, file: str, text: str) -> Document:
        """A document as it is to be saved. Raises `InvalidDefinitionError` with all its faults."""
        if is_pipeline(text):
            pipelines: PipelinePrograms = self.pipelines
            pipeline, text = pipelines.take(text, self.schemas())
            return Document(file=file, kind=pipelines.kind, name=pipeline.id, version="", text=text)
        flows: FlowPrograms = self.flows
        document = flows.check(text).workflow.document
        return Document(
            file=file,
            kind=flows.kind,
            name=document.name,
            version=document.version,
            text=text,
            namespace=document.namespace,
        )


def is_pipeline(text: str) -> bool:
    """Whether a document is one of event pipelines, as far as it can be read."""
    if "pipeline" not in text:
        return False
    try:
        value = read(text).value
    except InvalidDefinitionError:
        return False
    return isinstance(value, dict) and "pipeline" in value and "document" not in value


class InvalidDocumentsError(StepwellError):
    """Documents that cannot be run; `faults` has everything that is wrong with all of them."""

    def __init__(self, faults: Iterable[FileFault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


def find_documents(path: str | Path) -> list[Path]:
    """The file itself, or the documents in a folder, by name. Raises `DocumentError`."""
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not path.exists():
        raise DocumentError(f"{path} does not exist: name a document, or a folder of them")
    return [path]


def read_document(path: Path) -> str:
    """The text of a document. Raises `DocumentError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise DocumentError(f"{path} is not UTF-8 text (byte {fault.start}): save it as UTF-8") from None
    except FileNotFoundError:
        raise DocumentError(f"{path} does not exist: name a document") from None
    except IsADirectoryError:
        raise DocumentError(f"{path} is a folder: name a file") from None
    except OSError as fault:
        raise DocumentError(f"{path} cannot be read ({fault.strerror}): may you read it?") from None


def check_document(path: Path, kinds: Kinds) -> Document:
    """Read and check one document. Raises `DocumentError`, or `InvalidDocumentsError` with all its faults."""
    text = read_document(path)
    try:
        return kinds.take(str(path), text)
    except InvalidDefinitionError as error:
        raise InvalidDocumentsError(FileFault(str(path), fault) for fault in error.faults) from None


def check_documents(paths: Iterable[Path], kinds: Kinds) -> list[Document]:
    """Read and check documents that are to stand beside each other: two may not have one name and version, nor one
    name in two namespaces, since that would be two versions of one workflow.

    Raises `DocumentError`, or `InvalidDocumentsError` with the faults of all of them.
    """
    found: dict[tuple[str, str], Document] = {}
    named: dict[str, Document] = {}
    faults: list[FileFault] = []
    for path in paths:
        try:
            document = check_document(path, kinds)
        except InvalidDocumentsError as error:
            faults += error.faults
            continue
        first = found.setdefault((document.name, document.version), document)
        if first.text != document.text:
            message = f"expected another name or version: {first.file} has {document.name} {document.version} too"
            faults.append(FileFault(str(path), Fault(pointer="/document/version", line=1, message=message)))
        other = named.setdefault(document.name, document)
        if other.namespace != document.namespace:
            message = (
                f"expected another name: {other.file} has {document.name} in the namespace {other.namespace},"
                " and a server knows workflows by their names alone"
            )
            faults.append(FileFault(str(path), Fault(pointer="/document/namespace", line=1, message=message)))
    if faults:
        raise InvalidDocumentsError(faults)
    return list(found.values())
