"""A real MariaDB from the system's package, for tests: ``with MariaDb() as m``."""

import contextlib
import getpass
import secrets
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.installed import program
from tests.ports import free_port
from tests.postgres import wait_until

USER = "plant"
DATABASE = "plant"


class MariaDb:
    """A server with a database and a user, both named ``plant``, its time zones loaded.

    Attributes:
      password: the user's.
      port: where it listens, on 127.0.0.1.
      url: for SQLAlchemy; it holds the password.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mdb", ignore_cleanup_errors=True)
        self.port = free_port()
        self.password = f"secret{secrets.token_hex(6)}"

    @property
    def url(self) -> str:
        """The database's URL."""
        return f"mysql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def __enter__(self) -> "MariaDb":
        folder = Path(self._folder.name)
        data = folder / "data"
        subprocess.run(
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={data}",
                f"--user={getpass.getuser()}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )
        try:
            self.start()
            zones = subprocess.run(
                [program("mariadb-tzinfo-to-sql"), "/usr/share/zoneinfo"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            self._client("mysql", zones)
            self._client(
                "mysql",
                f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;"
                f"CREATE USER {USER}@'%' IDENTIFIED BY '{self.password}';"
                f"GRANT ALL ON {DATABASE}.* TO {USER}@'%';",
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        folder = self._folder.name
        with Path(folder, "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program("mariadbd"),
                    "--no-defaults",
                    f"--datadir={folder}/data",
                    f"--user={getpass.getuser()}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    f"--socket={folder}/socket",
                    f"--pid-file={folder}/pid",
                    "--innodb-flush-log-at-trx-commit=0",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, 60)

    def kill(self) -> None:
        """Ends the server as a crash does; its data stays."""
        self._process.kill()
        self._process.wait()

    def end_sessions(self) -> None:
        """Ends the user's sessions, as an administrator does."""
        self.sql(f"KILL USER {USER}")

    def sql(self, *statements: str) -> None:
        """Runs statements as the superuser."""
        self._client(DATABASE, ";".join(statements))

    def _client(self, database: str, statements: str) -> None:
        done = subprocess.run(
            [
                program("mariadb"),
                "--no-defaults",
                f"--socket={self._folder.name}/socket",
                "--user=root",
                "--default-character-set=utf8mb4",
                database,
            ],
            input=statements,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"MariaDB refuses: {done.stderr}")

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            log = (Path(self._folder.name) / "log").read_text()
            raise RuntimeError(f"mariadbd stopped: {log[-2000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
