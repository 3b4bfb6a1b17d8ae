"""`stepwell graph`: a flow document as a Mermaid flow chart. Uses no network."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.documents import FileFault, InvalidDocumentsError, read_document
from stepwell.programs.flow.graph import graph_of, mermaid
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.reading import read


def graph(file: Annotated[Path, Parameter(help="Flow document, YAML or JSON.")], /) -> None:
    """Print a flow document as a Mermaid flow chart."""
    text = read_document(file)
    try:
        workflow = workflow_in(read(text))
    except InvalidDefinitionError as error:
        raise InvalidDocumentsError(FileFault(str(file), fault) for fault in error.faults) from None
    sys.stdout.write(mermaid(graph_of(workflow)))
