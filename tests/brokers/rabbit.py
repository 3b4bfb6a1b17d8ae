"""A real RabbitMQ on loopback, started without systemd: a node of its own, in a folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_ports

from .certificates import Certificates

BINARY = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_S = 60.0


def installed() -> bool:
    return BINARY.exists() and shutil.which("erl") is not None


class Rabbit:
    """`stop` is a kill; `start` again has what was on disk. On `tls_port` it wants a certificate of its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port, dist, self._epmd = free_ports(4)
        self.certificates = Certificates(folder)
        config = folder / "rabbitmq.conf"
        config.write_text(
            "loopback_users = none\nlog.console = true\nlog.file = false\nhandshake_timeout = 60000\n"
            f"listeners.ssl.local = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.certificates.ca}\n"
            f"ssl_options.certfile = {self.certificates.server}\n"
            f"ssl_options.keyfile = {self.certificates.server_key}\n"
            "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"stepwell{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._mapper = subprocess.Popen(
            ["epmd", "-port", str(self._epmd), "-address", "127.0.0.1", "-relaxed_command_check"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self) -> None:
        with (self.folder / "console.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(BINARY)], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        give_up_at = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise AssertionError(f"RabbitMQ did not start: {(self.folder / 'console.log').read_text()[-3000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether it greets: an AMQP server answers a wrong protocol header with its own."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(2)
                connection.sendall(b"AMQP\x00\x00\x00\x00")
                return connection.recv(4) == b"AMQP"
        except OSError:
            return False

    def stop(self) -> None:
        """Kill the node."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Kill the node, and the port mapper that it found its way by."""
        self.stop()
        self._mapper.kill()
        self._mapper.wait()


@contextmanager
def rabbit(folder: Path) -> Iterator[Rabbit]:
    """Started, and stopped in the end."""
    node = Rabbit(folder)
    try:
        node.start()
        yield node
    finally:
        node.close()
