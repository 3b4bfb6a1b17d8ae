"""A real PgBouncer on loopback, in front of the test server."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ports import free_ports

START_S = 20.0


def _binary() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def pgbouncer(url: str, folder: Path, *, mode: str) -> Iterator[str]:
    """The URL of the same database through the pool, in session or transaction mode."""
    binary = _binary()
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("PgBouncer is not installed")
        pytest.skip("needs PgBouncer (Debian: pgbouncer)")
    parts = urlsplit(url)
    socket_folder = parse_qs(parts.query)["host"][0]
    (port,) = free_ports(1)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={socket_folder} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {mode}\n"
    )
    # It refuses to be root; the server's own user may reach its socket.
    user = ["-u", pwd.getpwuid(Path(socket_folder).stat().st_uid).pw_name] if os.geteuid() == 0 else []
    log = folder / "pgbouncer.log"
    with log.open("wb") as said:
        process = subprocess.Popen([binary, *user, str(config)], stdout=said, stderr=said)
    try:
        _await(port, process, log)
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    finally:
        process.kill()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        else:
            return
