"""Protobuf schemas: `.proto` text compiled without a `protoc` on the path, and payloads by proto3's JSON mapping."""

import base64
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.schemas import Packed

MAX_CHARACTERS: Final = 200_000
FILE: Final = "schema.proto"
COMPILE_TIMEOUT_S: Final = 30


class ProtobufSchema:
    """One message type (`MessageSchema`)."""

    def __init__(self, name: str, message_class: Any) -> None:
        self.name = name
        self._class = message_class

    def encode(self, payload: Any) -> bytes:
        """Bytes of a payload. Raises `ValueError` for a field that the message has not, or of another type."""
        from google.protobuf import json_format

        try:
            plain = msgspec.json.decode(JSON.encode(payload))  # exact decimals as numbers
            return json_format.ParseDict(plain, self._class()).SerializeToString(deterministic=True)  # type: ignore[no-any-return]
        except (json_format.ParseError, TypeError, ValueError) as fault:
            raise ValueError(str(fault)) from None

    def decode(self, body: bytes) -> Any:
        """The payload of bytes, every field that is set."""
        from google.protobuf import json_format

        return json_format.MessageToDict(self._class.FromString(body), preserving_proto_field_name=True)


def compile_text(text: str) -> bytes:
    """The encoded FileDescriptorSet of `.proto` text. Raises `RuleError` with what the compiler says."""
    _check_installed("grpc_tools")
    if len(text) > MAX_CHARACTERS:
        raise RuleError(f"a protobuf schema has at most {MAX_CHARACTERS} characters (got {len(text)})")
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder, FILE), Path(folder, "set")
        path.write_text(text, encoding="utf-8")
        said = _run_compiler(folder, path, result)
        if said:
            raise RuleError(f"protobuf schema does not compile: {said}")
        return result.read_bytes()


def _run_compiler(folder: str, path: Path, result: Path) -> str:
    """What the compiler says is wrong at first; empty when nothing is. It is native: it gets a process of its own."""
    arguments = [
        f"-I{folder}",
        f"-I{_well_known()}",
        f"--descriptor_set_out={result}",
        "--include_imports",
        str(path),
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", *arguments],
            capture_output=True,
            text=True,
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the compiler took more than {COMPILE_TIMEOUT_S} s"
    if not done.returncode:
        return ""
    faults = re.findall(rf"{re.escape(FILE)}:(\d+:\d+: .*)", done.stderr)  # beside it may stand warnings of a log
    return faults[0].strip() if faults else f"the compiler ended with {done.returncode}"


def from_descriptors(data: bytes, root: str = "") -> ProtobufSchema:
    """The message type `root` of an encoded FileDescriptorSet, or the first of its last file. Raises `RuleError`."""
    _check_installed("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

    pool = descriptor_pool.DescriptorPool()
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(data).file
        for file in files:
            pool.Add(file)
        names = [f"{file.package}.{kind.name}".lstrip(".") for file in files[-1:] for kind in file.message_type]
    except (message.DecodeError, TypeError) as fault:
        raise RuleError(f"protobuf descriptors cannot be read: {fault}") from None
    wanted = next((name for name in names if root in (name, name.rpartition(".")[2])), None) if root else None
    if root and wanted is None:
        raise RuleError(f"protobuf schema has no message {root!r} (it has {', '.join(names) or 'none'})")
    if not names:
        raise RuleError("protobuf schema must define a message")
    name = wanted or names[0]
    return ProtobufSchema(name, message_factory.GetMessageClass(pool.FindMessageTypeByName(name)))


def packed(data: bytes, root: str = "") -> Packed:
    """A schema as it travels. Raises `RuleError`."""
    return Packed(descriptors=base64.b64encode(data).decode(), root=from_descriptors(data, root).name)


def _check_installed(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        raise RuleError("protobuf needs the extra `stepwell[protobuf]`") from None


def _well_known() -> str:
    """Where Google's own `.proto` files lie."""
    import grpc_tools

    return str(Path(grpc_tools.__file__).parent / "_proto")
