"""A real Mosquitto from the system's package, for tests: ``with Mosquitto() as m``."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.installed import program
from tests.ports import free_port
from tests.postgres import wait_until

USER = "plant"


class Mosquitto:
    """A broker that keeps its sessions on disk.

    Args:
      password: of the only user, ``plant``; None lets everybody in.
      certificate: files of authority, certificate and key: clients have to speak TLS.

    Attributes:
      port: on which it listens, through all restarts.
    """

    def __init__(
        self, password: str | None = None, certificate: tuple[Path, Path, Path] | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mqtt", ignore_cleanup_errors=True)
        self._password = password
        self._certificate = certificate
        self.port = free_port()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"localhost:{self.port}"

    def __enter__(self) -> "Mosquitto":
        folder = Path(self._folder.name)
        # Where it is started by root it gives its rights up, and still has to write there.
        folder.chmod(0o777)
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            "max_inflight_bytes 0",
            f"allow_anonymous {'true' if self._password is None else 'false'}",
        ]
        if self._password is not None:
            subprocess.run(
                [program("mosquitto_passwd"), "-c", "-b", folder / "users", USER, self._password],
                check=True,
                capture_output=True,
            )
            (folder / "users").chmod(0o644)
            lines.append(f"password_file {folder}/users")
        if self._certificate is not None:
            for option, file in zip(
                ("cafile", "certfile", "keyfile"), self._certificate, strict=True
            ):
                copied = Path(shutil.copy(file, folder))
                copied.chmod(0o644)
                lines.append(f"{option} {copied}")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        folder = Path(self._folder.name)
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("mosquitto"), "-c", folder / "mosquitto.conf"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._listens, 30)

    def stop(self) -> None:
        """Stops it; it writes its sessions to disk."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        if self._process.poll() is not None:
            log = (Path(self._folder.name) / "log").read_text()
            raise RuntimeError(f"mosquitto stopped: {log[-2000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
