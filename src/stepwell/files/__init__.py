"""Files that runs were given: streamed in, kept with their run, gone with it."""

from stepwell.files.folder import FolderFiles
from stepwell.files.port import (
    BUFFERED,
    FileMissingError,
    FileReference,
    Files,
    Incoming,
    base_name,
    object_id_of,
    parts_of,
)

__all__ = [
    "BUFFERED",
    "FileMissingError",
    "FileReference",
    "Files",
    "FolderFiles",
    "Incoming",
    "base_name",
    "object_id_of",
    "parts_of",
]
