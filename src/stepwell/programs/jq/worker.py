"""The script that runs in each worker process: jq programs in, JSON texts out, one after the other.

Started as a file with `python -I -S`, an empty environment and one end of a socket pair as descriptor 0; it is
never imported by the server. It knows nothing of expressions: `source.py` makes whole programs out of them.
The rules it keeps:

- it opens nothing: after its start the limit on descriptors is zero, so neither jq nor a bug can read a file;
- it outlives nobody: the end of the stream ends it, a CPU timer ends it when it is busy at that moment;
- it answers in order, each request as soon as it is done, so that the other side knows which one was its last;
- it ends itself when it has become large: what one program left behind never counts against the next.

Request: sizes, source, input; without a source it is that of the request before. Reply: kind, microseconds it took,
size, payload. Numbers are little-endian.
"""

import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

REQUEST: Final = Struct("<II")
REPLY: Final = Struct("<BII")

READY, VALUE, NOTHING, FAILED, MALFORMED, NO_MEMORY, TOO_LARGE = range(7)
RETIRES: Final = 0x80
"""Added to the kind of a worker's last reply: it starts nothing more."""

STREAM: Final = 0
CHUNK_BYTES: Final = 1 << 16
MOST_US: Final = (1 << 32) - 1
MESSAGE_CHARACTERS: Final = 2_000
"""Of an error's text: `error(...)` can raise any amount of it."""
SHORT_S: Final = 0.002
ARM_EVERY_S: Final = 0.1
"""The CPU timer is set anew so often while there is work: each request has its time, less this."""
LOOK_EVERY: Final = 256
"""Requests between two looks at the memory in use, when none of them took longer than `SHORT_S`."""

Compile = Callable[[str], Any]


class Evaluator:
    """jq with a cache of compiled programs, the least recently used one dropped first (about 50 kB each)."""

    def __init__(self, compile_source: Compile, *, programs: int, result_bytes: int) -> None:
        self._compile = compile_source
        self._room = programs
        self._result_bytes = result_bytes
        self._programs: dict[bytes, Any] = {}

    def answer(self, source: bytes, text: bytes) -> tuple[int, bytes]:
        """The kind of the reply and its payload. Without input (a check) nothing runs."""
        try:
            program = self._program(source)
        except ValueError as error:
            return MALFORMED, _message(error)
        except MemoryError:
            return NO_MEMORY, b""
        try:
            return self._first(program.input_text(str(text, "utf-8")))
        except ValueError as error:
            return FAILED, _message(error)
        except MemoryError:
            return NO_MEMORY, b""

    def _program(self, source: bytes) -> Any:
        program = self._programs.pop(source, None)
        if program is None:
            if len(self._programs) >= self._room:
                del self._programs[next(iter(self._programs))]
            program = self._compile(source.decode())
        self._programs[source] = program
        return program

    def _first(self, results: Any) -> tuple[int, bytes]:
        result: Any = next(iter(results), False)
        if result is False:
            return NOTHING, b""
        if result is None:
            # Every program ends in `tojson`, which makes text. The binding answers None instead when it had no
            # memory for that text: its converter cannot raise (Cython `noexcept`).
            return NO_MEMORY, b""
        payload: bytes = result.encode()
        return (VALUE, payload) if len(payload) <= self._result_bytes else (TOO_LARGE, b"%d" % len(payload))


def serve(evaluator: Evaluator, *, busy_s: float, is_large: Callable[[], bool]) -> None:
    """Answer requests until the stream ends or this process has become large."""
    waiting = bytearray()
    source, count = b"", 0
    armed = -ARM_EVERY_S
    while chunk := os.read(STREAM, CHUNK_BYTES):
        waiting += chunk
        taken, now = 0, time.process_time()
        while (request := _take(waiting, taken)) is not None:
            given, text, taken = request
            source = given or source
            began = now
            if began - armed > ARM_EVERY_S:
                # Runs only while there is work, and needs no handler: the default action of SIGPROF ends the
                # process. RLIMIT_CPU would count the whole life of a worker.
                signal.setitimer(signal.ITIMER_PROF, busy_s)
                armed = began
            kind, payload = evaluator.answer(source, text)
            count += 1
            now = time.process_time()
            took = now - began
            retires = kind == NO_MEMORY or ((took > SHORT_S or count % LOOK_EVERY == 0) and is_large())
            send(kind | RETIRES if retires else kind, took, payload)
            if retires:
                return
        del waiting[:taken]


def send(kind: int, took_s: float = 0.0, payload: bytes = b"") -> None:
    """Write one reply, however many writes that takes."""
    reply = REPLY.pack(kind, min(int(took_s * 1e6), MOST_US), len(payload)) + payload
    written = os.write(STREAM, reply)
    if written < len(reply):
        rest = memoryview(reply)
        while written < len(reply):
            written += os.write(STREAM, rest[written:])


def confine(memory_bytes: int) -> None:
    """Give up everything that evaluating does not need. Nothing can be imported or opened afterwards."""
    os.environ.clear()  # CPython itself sets LC_CTYPE when it finds none (PEP 538)
    for descriptor in (1, 2):
        os.close(descriptor)
    sys.stdout = sys.stderr = None
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # open ones stay; not even a time zone file can be opened
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


def measure(memory_bytes: int) -> Callable[[], bool]:
    """Whether more than half of the memory is taken. (`ru_maxrss` would count the server's: it survives exec.)"""
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    allowed_pages = memory_bytes // 2 // resource.getpagesize()
    return lambda: int(os.pread(statm, 64, 0).split(b" ", 1)[0]) > allowed_pages


def load(folder: str) -> Compile:
    """jq's `compile`, from the folder where the server found the package; no other package becomes importable."""
    sys.path.append(folder)
    jq: Any = __import__("jq")  # `import jq` would ask the type checker for a package without types
    sys.path.remove(folder)
    compile_source: Compile = jq.compile
    return compile_source


def _take(waiting: bytearray, start: int) -> tuple[bytes, bytes, int] | None:
    """The request at `start` and where the next one begins; None when it is not whole."""
    begin = start + REQUEST.size
    if len(waiting) < begin:
        return None
    source_bytes, text_bytes = REQUEST.unpack_from(waiting, start)
    middle = begin + source_bytes
    end = middle + text_bytes
    if len(waiting) < end:
        return None
    return bytes(waiting[begin:middle]), bytes(waiting[middle:end]), end


def _message(error: ValueError) -> bytes:
    return str(error)[:MESSAGE_CHARACTERS].encode("utf-8", "replace")


def main(folder: str, memory_bytes: int, busy_ms: int, programs: int, result_bytes: int) -> None:
    """Run until the stream ends. The arguments are the command line's."""
    gc.disable()  # nothing here makes cycles
    evaluator = Evaluator(load(folder), programs=programs, result_bytes=result_bytes)
    is_large = measure(memory_bytes)
    confine(memory_bytes)
    try:
        send(READY)
        serve(evaluator, busy_s=busy_ms / 1000, is_large=is_large)
    except OSError:
        pass  # the server is gone
    finally:
        os._exit(0)  # nothing to flush, no destructors to run on memory that may be exhausted


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
