"""A candidate behind the embedded server, in a process of its own for as long as it is examined."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

HOST = "127.0.0.1"


class NotServedError(Exception):
    """The candidate does not come up; the message says what the server said."""


class Served:
    """The running server.

    Attributes:
      grpc: host and port of its gRPC API.
      rest_port: its REST API's port.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", ports: dict[str, Any], log: Path
    ) -> None:
        self._process = process
        self._log = log
        self.grpc = f"{HOST}:{ports['grpc']}"
        self.rest_port = int(ports["rest"])

    def wait_until_available(self, model: str, seconds: float) -> None:
        """Waits for the model to be loaded and warm.

        Raises:
          NotServedError: if it fails to load, or takes longer.
        """
        deadline = time.monotonic() + seconds
        state = "not there"
        while time.monotonic() < deadline:
            self.check()
            for version in self._versions(model):
                state = version["state"]
                if state == "AVAILABLE":
                    return
                told = version.get("status", {}).get("error_message")
                if told:
                    raise NotServedError(f"it does not load: {told}")
            time.sleep(0.05)
        raise NotServedError(f"it was not available after {seconds:g} s (its state: {state})")

    def check(self) -> None:
        """Raises NotServedError if the server has ended."""
        code = self._process.poll()
        if code is not None:
            last = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise NotServedError(f"the server ended with code {code}: {' / '.join(last)}")

    def memory_mb(self) -> float:
        """What the server holds resident, in MiB.

        Raises:
          NotServedError: if it has ended.
        """
        self.check()
        return float(psutil.Process(self._process.pid).memory_info().rss) / 2**20

    @contextlib.contextmanager
    def watch_processors(self) -> Iterator[dict[str, float]]:
        """Yields what gets ``others_cpu`` when the block ends.

        That is the share of this machine's processors, 0 to 1, which programs other than the server
        and this process took meanwhile.
        """
        seen: dict[str, float] = {}
        began, ours, busy = time.monotonic(), self._cpu_seconds(), _busy_seconds()
        try:
            yield seen
        finally:
            others = _busy_seconds() - busy - (self._cpu_seconds() - ours)
            whole = (time.monotonic() - began) * (psutil.cpu_count() or 1)
            seen["others_cpu"] = min(1.0, max(0.0, others / whole))

    def _cpu_seconds(self) -> float:
        seconds = sum(psutil.Process().cpu_times()[:2])
        with contextlib.suppress(psutil.NoSuchProcess):  # ended under load, which check() tells
            seconds += sum(psutil.Process(self._process.pid).cpu_times()[:2])
        return seconds

    def _versions(self, model: str) -> list[dict[str, Any]]:
        url = f"http://{HOST}:{self.rest_port}/v1/models/{model}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return list(json.load(answer)["model_version_status"])
        except (urllib.error.URLError, OSError):
            return []


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


@contextlib.contextmanager
def serve(
    model: str, folder: Path, work: Path, seconds: float, flags: Sequence[str] = ()
) -> Iterator[Served]:
    """Starts the server on free ports of the loopback interface, and ends it.

    Args:
      model: the served name.
      folder: holds the version's folder, ``1``.
      work: where the ready file and the log go.
      seconds: how long the server may take to listen.
      flags: more of the server's.

    Raises:
      NotServedError: if it does not listen in time.
    """
    ready, log = work / "ready.json", work / "server.log"
    command = [sys.executable, "-m", "serving.server.process"]
    command += ["--model-name", model, "--model-base-path", str(folder)]
    command += [*flags, "--port", "0", "--rest-api-port", "0", "--ready-file", str(ready)]
    # A run that is killed leaves no server behind.
    command += ["--end-with-parent", str(os.getpid())]
    root = Path(__file__).resolve().parents[2]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
    try:
        deadline = time.monotonic() + seconds
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                told = log.read_text(encoding="utf-8", errors="replace").strip()[-500:]
                raise NotServedError(f"the server did not start: {told or 'it said nothing'}")
            time.sleep(0.02)
        yield Served(process, json.loads(ready.read_text(encoding="utf-8")), log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
