"""A request and its answer as TensorFlow Serving logs them: tensorflow.serving.PredictionLog.

``log_metadata`` says which model, version and signature answered, when (``timestamp_secs``), and at
which rate requests were drawn. ``request_origin`` is a query string with ``request_id``,
``trace_id`` and what the header ``x-observation`` said: a key and a value for each row and column
that tell what the row is about, such as ``machine_id=17&observed_at=2025-04-17T06:00:00Z``.
"""

import urllib.parse

import numpy as np
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    input_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from observability.trace import trace_of_header
from serving.server.exchange import Arrays, Entry, Exchange
from serving.server.tensor_protos import to_proto

_ORIGIN = 8_192


def encode(
    at: float, entry: Entry, exchange: Exchange, rate: float, drop: frozenset[str]
) -> prediction_log_pb2.PredictionLog:
    """A request and its answer as one record.

    Args:
      at: when it came, ``time.time()``.
      entry: what is told of it.
      exchange: both.
      rate: the share of requests that is drawn.
      drop: names of inputs, features, outputs and keys of ``x-observation`` to leave out.

    Raises:
      DecodeError: if columns are to be dropped from serialized examples that are none.
    """
    log = prediction_log_pb2.PredictionLog()
    about = log.log_metadata
    about.model_spec.name, about.model_spec.signature_name = entry.model, entry.signature
    about.model_spec.version.value = entry.version or 0
    about.timestamp_secs = int(at)
    about.sampling_config.sampling_rate = rate
    about.request_origin = _origin(entry, drop)
    asked, answered = exchange.asked, exchange.answered
    if isinstance(answered, classification_pb2.ClassificationResult):
        log.classify_log.request.model_spec.CopyFrom(about.model_spec)
        log.classify_log.response.model_spec.CopyFrom(about.model_spec)
        log.classify_log.response.result.CopyFrom(answered)
        log.classify_log.request.input.CopyFrom(_without(asked, drop))
    elif isinstance(answered, regression_pb2.RegressionResult):
        log.regress_log.request.model_spec.CopyFrom(about.model_spec)
        log.regress_log.response.model_spec.CopyFrom(about.model_spec)
        log.regress_log.response.result.CopyFrom(answered)
        log.regress_log.request.input.CopyFrom(_without(asked, drop))
    else:
        assert not isinstance(asked, input_pb2.Input)
        log.predict_log.request.model_spec.CopyFrom(about.model_spec)
        log.predict_log.response.model_spec.CopyFrom(about.model_spec)
        alone = len(asked) == 1
        for name, array in asked.items():
            if name not in drop:
                if drop and alone and array.dtype == object:
                    array = _stripped(array, drop)
                log.predict_log.request.inputs[name].CopyFrom(to_proto(array))
        for name, array in answered.items():
            if name not in drop:
                log.predict_log.response.outputs[name].CopyFrom(to_proto(array))
    return log


def _origin(entry: Entry, drop: frozenset[str]) -> str:
    told = [("request_id", entry.request_id), ("trace_id", trace_of_header(entry.traceparent))]
    if len(entry.observation) <= _ORIGIN:
        told += urllib.parse.parse_qsl(entry.observation)
    return urllib.parse.urlencode([(k, v) for k, v in told if v and k not in drop])


def _without(asked: Arrays | input_pb2.Input, drop: frozenset[str]) -> input_pb2.Input:
    assert isinstance(asked, input_pb2.Input)
    if not drop:
        return asked
    kept = input_pb2.Input()
    kept.CopyFrom(asked)
    examples = list(kept.example_list.examples)
    if kept.WhichOneof("kind") == "example_list_with_context":
        context = kept.example_list_with_context
        examples = [context.context, *context.examples]
    for example in examples:
        _strip(example, drop)
    return kept


def _stripped(array: np.ndarray, drop: frozenset[str]) -> np.ndarray:
    """Serialized tf.Examples without some features; the only input of a signature, of any shape."""
    kept = np.empty(array.shape, object)
    for place, text in np.ndenumerate(array):
        example = example_pb2.Example.FromString(text)
        _strip(example, drop)
        kept[place] = example.SerializeToString()
    return kept


def _strip(example: example_pb2.Example, drop: frozenset[str]) -> None:
    for name in drop:
        if name in example.features.feature:
            del example.features.feature[name]
