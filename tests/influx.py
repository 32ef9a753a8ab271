"""A real InfluxDB 1.6 from the system's package, for tests: ``with Influx() as i``."""

import secrets
import subprocess
import tempfile
from pathlib import Path

import requests

from tests.installed import program
from tests.ports import free_port
from tests.postgres import wait_until

USER = "plant"
DATABASE = "plant"

_SETTINGS = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = true
  log-enabled = false
"""


class Influx:
    """A server with a database and an administrator, both named ``plant``.

    Attributes:
      password: the user's.
      url: it holds the password.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="influx", ignore_cleanup_errors=True)
        self._port = free_port()
        self.password = f"secret{secrets.token_hex(6)}"

    @property
    def url(self) -> str:
        """Where it answers, with user and password."""
        return f"http://{USER}:{self.password}@127.0.0.1:{self._port}"

    def __enter__(self) -> "Influx":
        folder = Path(self._folder.name)
        settings = folder / "influxdb.conf"
        settings.write_text(_SETTINGS.format(folder=folder, port=self._port, rpc=free_port()))
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [program("influxd"), "run", "-config", str(settings)],
            stdout=self._log,
            stderr=self._log,
        )
        try:
            wait_until(self._answers, 60)
            self.query(f"CREATE USER {USER} WITH PASSWORD '{self.password}' WITH ALL PRIVILEGES")
            self.query(f"CREATE DATABASE {DATABASE}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def query(self, text: str) -> None:
        """Runs a statement as the administrator."""
        answer = requests.post(f"{self.url}/query", data={"q": text}, timeout=60)
        answer.raise_for_status()
        assert "error" not in answer.text, answer.text

    def write(self, *lines: str) -> None:
        """Writes points in the line protocol, times in seconds."""
        where = f"{self.url}/write?db={DATABASE}&precision=s"
        requests.post(where, data="\n".join(lines).encode(), timeout=60).raise_for_status()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError((Path(self._folder.name) / "log").read_text()[-2000:])
        try:
            return requests.get(f"http://127.0.0.1:{self._port}/ping", timeout=5).ok
        except requests.RequestException:
            return False
