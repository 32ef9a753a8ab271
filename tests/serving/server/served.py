"""A real server process over a tiny SavedModel, for tests."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import grpc
import httpx

ROOT = pathlib.Path(__file__).parents[3]
MODEL = "half"


@dataclasses.dataclass
class Served:
    """A running server."""

    process: "subprocess.Popen[bytes]"
    grpc: int
    rest: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest}"

    def channel(self, *options: tuple[str, int]) -> grpc.Channel:
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc}", options)

    def end(self, timeout: float = 60) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


def save_model(folder: pathlib.Path, version: int = 1, addend: float = 2.0) -> None:
    """Saves half-plus-two and the methods that there are, as one version."""
    import tensorflow as tf

    number = {"x": tf.io.FixedLenFeature([], tf.float32)}

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def half(self, x):
            return {"y": x / 2 + addend}

        @tf.function(
            input_signature=[
                {
                    "a": tf.TensorSpec([None, 2], tf.int64, name="a"),
                    "b": tf.TensorSpec([None], tf.string, name="b"),
                }
            ]
        )
        def columns(self, columns):
            text = tf.strings.join(["<", columns["b"], ">"])
            return {"sum": tf.reduce_sum(columns["a"], 1), "text": text, "raw_bytes": columns["b"]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def classify(self, inputs):
            x = tf.io.parse_example(inputs, number)["x"]
            labels = tf.tile([["yes", "no"]], [tf.size(x), 1])
            return {"scores": tf.stack([x, 1 - x], 1), "classes": labels}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def regress(self, inputs):
            return {"outputs": tf.io.parse_example(inputs, number)["x"] * 2}

    model = Model()
    staged = folder / f"staged-{version}"
    tf.saved_model.save(
        model,
        str(staged),
        signatures={
            "serving_default": model.half,
            "columns": model.columns,
            "classify": model.classify,
            "regress": model.regress,
        },
    )
    staged.rename(folder / str(version))


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "serving.server.process", *flags]


def environment() -> dict[str, str]:
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


@contextlib.contextmanager
def serving(
    scratch: pathlib.Path, flags: Sequence[str], available: str = MODEL
) -> Iterator[Served]:
    """Runs a server on free ports until the block ends."""
    ready = scratch / "ready.json"
    ready.unlink(missing_ok=True)
    with (scratch / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command("--port", "0", "--rest-api-port", "0", "--ready-file", str(ready), *flags),
            cwd=ROOT,
            env=environment(),
            stderr=log,
            stdout=log,
        )
    try:
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert process.poll() is None, (scratch / "server.log").read_text()
            assert time.monotonic() < deadline, "the server does not get ready"
            time.sleep(0.05)
        where = json.loads(ready.read_text())
        served = Served(process, where["grpc"], where["rest"])
        while available and not _available(served, available):
            assert time.monotonic() < deadline, (scratch / "server.log").read_text()
            time.sleep(0.05)
        yield served
    finally:
        process.kill()
        process.wait()


def _available(served: Served, model: str) -> bool:
    return "AVAILABLE" in httpx.get(f"{served.url}/v1/models/{model}", timeout=60).text
