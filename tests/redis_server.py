"""A real Redis from the system's package, for tests: ``with RedisServer() as r``."""

import secrets
import subprocess
import tempfile
from typing import Any

from tests.installed import program
from tests.ports import free_port
from tests.postgres import wait_until


class RedisServer:
    """A server that keeps nothing on disk.

    Attributes:
      password: what it asks for.
      url: it holds the password.
    """

    def __init__(self) -> None:
        self.password = f"secret{secrets.token_hex(6)}"
        self._port = free_port()

    @property
    def url(self) -> str:
        """Where it answers, with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self._port}/0"

    def __enter__(self) -> "RedisServer":
        self._folder = tempfile.TemporaryDirectory(prefix="redis", ignore_cleanup_errors=True)
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        options += ["--requirepass", self.password, "--dir", self._folder.name]
        self._process = subprocess.Popen(
            [program("redis-server"), *options], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def client(self) -> Any:
        """The driver's client."""
        import redis

        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        import redis

        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
