"""Tiny SavedModels and cores over them."""

import asyncio
import contextlib
import os
import pathlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

MODEL = "half"


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pathlib.Path]:
    """Saves ``y = x / 2 + addend`` as a version; if ``held``, calls end when ``gate`` is open."""
    import shutil

    import tensorflow as tf

    made: dict[tuple[float, bool], pathlib.Path] = {}
    alive = []

    def build(addend: float, held: bool) -> pathlib.Path:
        class Model(tf.Module):
            def __init__(self):
                super().__init__()
                self.addend = tf.Variable(addend)

            @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
            def half(self, x):
                tf.debugging.assert_less(x, 1e6, "too large")
                if held:
                    x = tf.numpy_function(_held, [x], tf.float32)
                    x.set_shape([None])
                return {"y": x / 2 + self.addend, "double": x * 2}

            @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
            def total(self, x):
                return {"sum": tf.reduce_sum(x)}

            @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
            def size(self, x):
                return {"rows": tf.fill([tf.shape(x)[0]], tf.shape(x)[0])}

            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
            def echo(self, text):
                return {"text": text}

        model = Model()
        alive.append(model)  # numpy_function finds its Python by a weak reference
        folder = tmp_path_factory.mktemp("saved") / "model"
        signatures = {
            "serving_default": model.half,
            "total": model.total,
            "size": model.size,
            "echo": model.echo,
        }
        tf.saved_model.save(model, str(folder), signatures=signatures)
        return folder

    def save(base: pathlib.Path, version: int, addend: float = 2.0, held: bool = False):
        key = (addend, held)
        if key not in made:
            made[key] = build(*key)
        base.mkdir(parents=True, exist_ok=True)
        staged = base / f"staged-{version}"
        shutil.copytree(made[key], staged)
        return staged.rename(base / str(version))

    return save


_GATE = threading.Event()


def _held(x):
    assert _GATE.wait(60)
    return x


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Closed: calls of a version that is held begin, and end when it is set."""
    _GATE.clear()
    yield _GATE
    _GATE.set()


def config(base: pathlib.Path, text: str = "", name: str = MODEL):
    """A ModelServerConfig of one model; ``text`` is added to it."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    return text_format.Parse(
        f'model_config_list {{ config {{ name: "{name}" base_path: "{base}" '
        f'model_platform: "tensorflow" {text} }} }}',
        model_server_config_pb2.ModelServerConfig(),
    )


@contextlib.asynccontextmanager
async def running(
    base: pathlib.Path, text: str = "", wait: bool = True, **options
) -> AsyncIterator:
    """A Core over a folder that looks at it every 20 ms."""
    from serving.server.core import Core

    defaults = {"poll_seconds": 0.02, "load_retry_seconds": 0.05}
    core = Core(config(base, text), **{**defaults, **options})
    await core.start()
    try:
        if wait:
            await core.wait_until_available(MODEL, 60)
        yield core
    finally:
        await core.stop()


async def until(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    """Waits for a condition."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it does not come about"
        await asyncio.sleep(0.01)


def states(core) -> dict[int, str]:
    """The versions' states by number."""
    from tensorflow_serving.apis import get_model_status_pb2

    name = get_model_status_pb2.ModelVersionStatus.State.Name
    try:
        return {status.version: name(status.state) for status in core.status(MODEL)}
    except Exception:
        return {}
