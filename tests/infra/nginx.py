"""A real nginx with the configuration of infra/nginx, for tests: ``with Nginx(...) as n``."""

import getpass
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from tests.infra.conftest import INFRA
from tests.ports import free_port
from tests.postgres import wait_until

UPSTREAM_LIMIT = re.compile(r"((?:proxy|grpc)_\w+_timeout) (\d+)ms;")
SHARE = re.compile(r"^ *1% +canary;\n", re.MULTILINE)


class ModelServer:
    """One of model_server.py in a process of its own.

    Attributes:
      name: what it answers with.
      ports: by ``rest`` and ``grpc``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("model_server.py")), name],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.ports: dict[str, int] = json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """Ends it without a farewell."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Nginx:
    """nginx in a folder of its own, in front of some servers.

    Attributes:
      ports: where it listens, by ``rest`` and ``grpc``.
      log: its access log.
    """

    def __init__(
        self,
        stable: dict[str, dict[str, int]],
        canary: dict[str, dict[str, int]],
        patience: int = 20,
    ) -> None:
        """Takes the servers' ports (``rest``, ``grpc``) by their names in upstreams.conf.

        What the configuration allows a server to take is multiplied by ``patience``: a machine that
        stalls for a second is not what most tests ask about.
        """
        self._patience = patience
        self._folder = tempfile.TemporaryDirectory(prefix="nginx", ignore_cleanup_errors=True)
        self._servers = stable | canary
        self.ports = {"rest": free_port(), "grpc": free_port()}
        self.folder = Path(self._folder.name)
        self.log = self.folder / "logs/access.log"

    def __enter__(self) -> "Nginx":
        shutil.copytree(INFRA / "nginx", self.folder, dirs_exist_ok=True)
        for name in ("logs", "tmp"):
            (self.folder / name).mkdir()
        for file, port, api in (("rest.conf", 8501, "rest"), ("grpc.conf", 8500, "grpc")):
            self._replace(file, f"listen {port}", f"listen 127.0.0.1:{self.ports[api]}")
        for name, ports in self._servers.items():
            self._replace("upstreams.conf", f"{name}:8501", f"127.0.0.1:{ports['rest']}")
            self._replace("upstreams.conf", f"{name}:8500", f"127.0.0.1:{ports['grpc']}")
        for file in ("rest.conf", "grpc.conf"):
            text = (self.folder / file).read_text()
            longer, found = UPSTREAM_LIMIT.subn(
                lambda limit: f"{limit[1]} {int(limit[2]) * self._patience}ms;", text
            )
            assert found, f"{file} holds no limits"
            (self.folder / file).write_text(longer)
        self._process = subprocess.Popen([*self._command(), "-g", f"daemon off;{self._user()}"])
        wait_until((self.folder / "logs/nginx.pid").exists)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._folder.cleanup()

    def share(self, percent: int) -> None:
        """Gives the canary a share, by weights.conf and a reload."""
        text = (INFRA / "nginx/weights.conf").read_text()
        assert len(SHARE.findall(text)) == 1
        line = f"    {percent}% canary;\n" if percent else ""
        (self.folder / "weights.conf").write_text(SHARE.sub(line, text))
        self.reload()

    def reload(self) -> None:
        """Reloads, and returns when the new workers answer alone."""
        before = self._workers()
        subprocess.run(
            [*self._command(), "-g", self._user(), "-s", "reload"], check=True, timeout=60
        )
        wait_until(lambda: bool(self._workers() - before) and not before & self._workers())

    def _workers(self) -> set[int]:
        """The workers that take connections: one that is told to end says so in its title."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return {int(p) for p in children.read_text().split() if not _ends(p)}

    def _command(self) -> list[str]:
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        return [binary, "-p", str(self.folder), "-c", "nginx.conf", "-e", "logs/error.log"]

    @staticmethod
    def _user() -> str:
        return f"user {getpass.getuser()};" if os.geteuid() == 0 else ""

    def last_entry(self) -> dict[str, object]:
        """The last line of the access log, which is written after the answer."""
        wait_until(lambda: self.log.exists() and self.log.read_text().endswith("\n"))
        return json.loads(self.log.read_text().splitlines()[-1])

    def _replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} holds no {old}"
        path.write_text(text.replace(old, new))


def _ends(worker: str) -> bool:
    try:
        return "shutting down" in Path(f"/proc/{worker}/cmdline").read_text()
    except OSError:
        return True
