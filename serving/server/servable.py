"""A loaded SavedModel: signatures that are called through a TF1 session.

``Session.make_callable`` halves the cost of a call against a TF2 signature, and one thread an
operation beats TensorFlow's choice for small models: batches run beside each other instead.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model import loader_impl

from serving.releases.versions import run_id_of
from serving.server.errors import ServingError
from serving.server.signatures import read_signatures, type_name

_CODES = {code.value[0]: code for code in grpc.StatusCode}
Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class Servable:
    """One version in memory.

    Args:
      folder: a SavedModel with the tag ``serve``.
      intra_threads: threads within an operation.
      inter_threads: threads between operations; -1 for those that call.

    Raises:
      ServingError: if it cannot be loaded, with TensorFlow's words.
    """

    def __init__(self, folder: str, intra_threads: int = 1, inter_threads: int = -1) -> None:
        if not any((Path(folder) / f"saved_model.{kind}").exists() for kind in ("pb", "pbtxt")):
            raise ServingError(
                grpc.StatusCode.NOT_FOUND,
                f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: "
                f"{folder}",
            )
        self.folder = folder
        self.run_id = run_id_of(Path(folder))
        self._under_way = 0
        self._idle = threading.Condition()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_threads,
            inter_op_parallelism_threads=inter_threads,
            use_per_session_threads=True,
        )
        graph = tf.Graph()
        self._session: tf.compat.v1.Session | None = tf.compat.v1.Session(
            graph=graph, config=config
        )
        try:
            with graph.as_default():
                loaded = loader_impl.SavedModelLoader(folder).load(self._session, ["serve"])
            self.definitions: dict[str, meta_graph_pb2.SignatureDef] = dict(loaded.signature_def)
            self.signatures = read_signatures(self.definitions)
            self._runs = {name: self._callable(name) for name in self.signatures}
        except Exception as error:
            self.close()
            raise as_serving_error(error) from None

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
          signature: its name.
          inputs: an array for each of its inputs, of its type.

        Returns:
          Its outputs by name.

        Raises:
          ServingError: with the code and words of TensorFlow's error.
        """
        return self._runs[signature](inputs)

    def enter(self) -> None:
        """Counts a request in; the version is not closed before it is counted out."""
        with self._idle:
            self._under_way += 1

    def leave(self) -> None:
        """Counts a request out."""
        with self._idle:
            self._under_way -= 1
            if not self._under_way:
                self._idle.notify_all()

    def wait_idle(self, timeout: float) -> bool:
        """Blocks until no request is under way; whether that came about in time."""
        deadline = time.monotonic() + timeout
        with self._idle:
            while self._under_way:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._idle.wait(left)
        return True

    def close(self) -> None:
        """Frees the session and the variables."""
        self._runs = {}
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _callable(self, name: str) -> Run:
        assert self._session is not None
        signature = self.signatures[name]
        names = tuple(signature.inputs)
        fetches = list(dict.fromkeys(info.name for info in signature.outputs.values()))
        places = {output: fetches.index(info.name) for output, info in signature.outputs.items()}
        call: Any = self._session.make_callable(
            fetches, feed_list=[info.name for info in signature.inputs.values()]
        )

        def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            try:
                values = call(*[inputs[name] for name in names])
            except Exception as error:
                raise as_serving_error(error) from None
            return {output: _array(values[place]) for output, place in places.items()}

        return run


def check_inputs(servable: Servable, signature: str, inputs: Mapping[str, np.ndarray]) -> None:
    """Checks a request's inputs against a signature, as predict_util.cc and the session do.

    Args:
      servable: has the signature.
      signature: its name.
      inputs: by name.

    Raises:
      ServingError: INVALID_ARGUMENT, naming the input.
    """
    expected = servable.signatures[signature].inputs
    if inputs.keys() != expected.keys():
        raise _invalid(_names_differ(set(inputs), set(expected)))
    for place, (name, info) in enumerate(expected.items()):
        array = inputs[name]
        if array.dtype != info.dtype:
            raise _invalid(
                f"Expects arg[{place}] to be {type_name(info.dtype)} but "
                f"{type_name(array.dtype)} is provided"
            )
        if info.shape is None:
            continue
        if len(info.shape) != array.ndim or any(
            size is not None and size != given
            for size, given in zip(info.shape, array.shape, strict=True)
        ):
            shape = ["?" if size is None else str(size) for size in info.shape]
            raise _invalid(
                f"Cannot feed value of shape [{','.join(map(str, array.shape))}] for input "
                f"{name}, which has shape [{','.join(shape)}]"
            )


def as_serving_error(error: Exception) -> ServingError:
    """What a request, or a load, is answered with after an exception."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
        return ServingError(code, error.message.partition("\n\nOriginal stack trace")[0])
    if isinstance(error, OSError):
        return ServingError(grpc.StatusCode.NOT_FOUND, str(error))
    return ServingError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def _names_differ(sent: set[str], expected: set[str]) -> str:
    extra, missing = sent - expected, expected - sent
    if len(sent) == len(expected):
        return (
            f"input tensor alias not found in signature: {min(extra)}. Inputs expected to be in "
            f"the set {{{','.join(sorted(expected))}}}."
        )
    return (
        f"input size does not match signature: {len(sent)}!={len(expected)} "
        f"len({{{','.join(sorted(sent))}}}) != len({{{','.join(sorted(expected))}}}). "
        f"Sent extra: {{{','.join(sorted(extra))}}}. "
        f"Missing but required: {{{','.join(sorted(missing))}}}."
    )


def _array(value: Any) -> np.ndarray:
    # A scalar string comes back as bytes: numpy would cut trailing zeros from them.
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
