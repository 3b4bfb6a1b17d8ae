"""Exit codes, and faults as sentences."""

import re
import traceback
from typing import Final

from cyclopts import CycloptsError

COMPLETED: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
CANCELLED: Final = 3
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells expect."""
_COMMAND: Final = re.compile(r'^Command "[^"]*" parameter ')
"""What the parser begins with; the sentence names the command already."""
SHOW_TRACEBACK: Final = "STEPWELL_TRACEBACK"
"""Set in the environment, it shows where an unexpected fault comes from."""


class ExitError(Exception):
    """Ends the command with this code; everything there was to say has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def sentence(fault: Exception) -> str:
    """What to print of a fault. Faults of documents begin with their file and line, others with our name."""
    text = "\n".join(line.strip() for line in str(fault).splitlines() if line.strip())
    if isinstance(fault, CycloptsError):
        command = " ".join(["stepwell", *(fault.command_chain or ())])
        text = _COMMAND.sub("", " ".join(text.split()))
        return f"{command}: {text} (see {command} --help)"
    return text if getattr(fault, "faults", None) else f"stepwell: {text}"


def unexpected(fault: Exception) -> str:
    """A fault that nobody foresaw: the system's own sentence, or else the place in our code to report."""
    if isinstance(fault, OSError) and fault.strerror:
        return f"stepwell: {fault.filename or 'the system'}: {fault.strerror}"
    last = traceback.extract_tb(fault.__traceback__)[-1]
    return (
        f"stepwell: this is a bug, please report it: {type(fault).__name__}: {fault} "
        f"({last.filename}:{last.lineno}; {SHOW_TRACEBACK}=1 shows more)"
    )
