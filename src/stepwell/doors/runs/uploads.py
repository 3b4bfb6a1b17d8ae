"""The form of an execution: text fields by name, and files that are streamed to disk while they come.

What is too large or too many is refused as soon as it is seen; then nothing of it stays on disk.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from starlette.requests import Request

from stepwell.doors.kit import Fault, InvalidRequestError, NotJsonError, decode_part
from stepwell.doors.runs.errors import TooLargeError
from stepwell.doors.runs.parts import PartBegins, PartEnds, read_parts
from stepwell.files import FileReference, Files, Incoming

KIB: Final = 1024
FIELD_BYTES: Final = {
    "workflowId": 64 * KIB,
    "inputs": 1024 * KIB,
    "envs": 64 * KIB,
    "onDisconnect": 64 * KIB,
}
"""The text fields, and how long each may be."""
JSON_FIELDS: Final = ("inputs", "envs")
FILE_BYTES: Final = 32 * KIB * KIB
MAX_FILES: Final = 20
MAX_PARTS: Final = 100


class Upload(msgspec.Struct, kw_only=True):
    """What came: the values of the text fields, and every file by the name of its part, in order."""

    values: dict[str, Any] = {}
    files: list[tuple[str, FileReference]] = []
    fingerprint: bytes = b""
    """Tells one form from another."""


@asynccontextmanager
async def read_upload(request: Request, files: Files | None, run_id: str) -> AsyncIterator[Upload]:
    """The form of a request. Its files lie in the folder of `run_id`, and are deleted if the block raises.

    Raises `InvalidRequestError`, `TooLargeError`, `StorageUnavailableError`.
    """
    form = _Form(files, run_id)
    try:
        async for piece in read_parts(request):
            match piece:
                case PartBegins():
                    form.begin(piece)
                case bytes():
                    await form.take(piece)
                case PartEnds():
                    await form.end()
        yield form.upload()
    except BaseException:
        form.close()
        if files is not None:
            await files.drop([run_id])
        raise


class _Form:
    """Takes the parts of one body."""

    def __init__(self, files: Files | None, run_id: str) -> None:
        self._files = files
        self._run_id = run_id
        self._texts: dict[str, bytes] = {}
        self._found: list[tuple[str, FileReference]] = []
        self._digest = hashlib.sha256()
        self._parts = 0
        self._part = PartBegins("", None, "")
        self._text: list[bytes] | None = None
        self._text_bytes = 0
        self._file: Incoming | None = None

    def begin(self, part: PartBegins) -> None:
        """A part that nobody knows is refused before its data is read."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooLargeError(f"expected at most {MAX_PARTS} parts, found more")
        self._part, self._text, self._text_bytes, self._file = part, None, 0, None
        self._digest.update(msgspec.json.encode((part.name, part.filename, part.content_type)))
        if part.name in FIELD_BYTES:
            if part.name in self._texts:
                raise _fault(part.name, "expected one value, found several")
            self._text = []
        elif part.filename is None:
            raise _fault(part.name, f"is not known (there are: {', '.join(FIELD_BYTES)}, and files by their input)")

    async def take(self, data: bytes) -> None:
        """Some of the part's data."""
        self._digest.update(data)
        if self._text is not None:
            self._text_bytes += len(data)
            most = FIELD_BYTES[self._part.name]
            if self._text_bytes > most:
                raise TooLargeError(f"{self._part.name}: expected at most {most} bytes, found more")
            self._text.append(data)
        else:
            file = self._opened()
            if file.size + len(data) > FILE_BYTES:
                raise TooLargeError(f"{self._part.name}: expected a file of at most {FILE_BYTES} bytes, found more")
            await file.write(data)

    async def end(self) -> None:
        """The part is complete. A browser sends a file field that nobody filled as a file without name and data."""
        self._digest.update(b"\0")
        if self._text is not None:
            self._texts[self._part.name] = b"".join(self._text)
        elif self._file is not None or self._part.filename:
            file, self._file = self._opened(), None
            self._found.append((self._part.name, await file.finish()))

    def _opened(self) -> Incoming:
        if self._file is None:
            if self._files is None:
                raise _fault(self._part.name, "this server keeps no files: it has no folder for them (files_dir)")
            if len(self._found) >= MAX_FILES:
                raise TooLargeError(f"expected at most {MAX_FILES} files, found more")
            self._file = self._files.begin(
                self._run_id, filename=self._part.filename or "", content_type=self._part.content_type
            )
        return self._file

    def upload(self) -> Upload:
        """What came in all. Raises `InvalidRequestError`."""
        values = {name: _value(name, text) for name, text in self._texts.items() if text.strip()}
        return Upload(values=values, files=self._found, fingerprint=self._digest.digest())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _value(name: str, text: bytes) -> Any:
    """A field's value: JSON of `inputs` and `envs`, the text itself of the others."""
    if name in JSON_FIELDS:
        try:
            return decode_part(text)
        except NotJsonError as fault:
            raise _fault(name, str(fault)) from None
    try:
        return text.decode().strip()
    except UnicodeDecodeError:
        raise _fault(name, "expected text in UTF-8") from None


def _fault(name: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([Fault(path=(name,), message=message)])
