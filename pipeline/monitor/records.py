"""PredictionLog records as tables: what was asked, what was answered, and what it was about."""

import dataclasses
import urllib.parse
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from tensorflow_serving.apis import input_pb2, prediction_log_pb2

from components.ingest import examples
from components.ingest.durations import parse_instant
from components.serving_gate.predictions import answer_table
from serving.online.columns import MISSING_INTEGER
from serving.online.stored import ARROW
from serving.server.tensor_protos import to_array

_Value = TypeVar("_Value")


@dataclasses.dataclass(frozen=True)
class Columns:
    """What of a request's columns is read.

    Attributes:
      types: by feature ``int``, ``float`` or ``bytes``.
      entity: the spine's column of the entity.
      time: the spine's column of the time.
    """

    types: Mapping[str, str]
    entity: str
    time: str


@dataclasses.dataclass(frozen=True)
class Kept:
    """One request of r rows: its inputs, or its serialized examples, and what was answered."""

    request: int
    version: int
    rows: int
    inputs: Mapping[str, np.ndarray]
    examples: Sequence[bytes]
    answers: Mapping[str, np.ndarray]
    origin: Mapping[str, Sequence[str]]

    @property
    def form(self) -> Hashable:
        """The same for requests whose arrays can be stacked."""
        arrays = (*self.inputs.items(), *self.answers.items())
        return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(arrays))


@dataclasses.dataclass(frozen=True)
class Part:
    """Requests of one form, row by row."""

    features: pa.Table
    answers: pa.Table
    versions: list[int]
    about: list[str | None]
    observed: list[int]
    request: list[int]


def read_log(number: int, log: prediction_log_pb2.PredictionLog, columns: Columns) -> Kept | None:
    """Reads one record.

    Args:
      number: what to call the request.
      log: the record.
      columns: what of the columns is read: a single input that is none of them holds examples.

    Returns:
      None for records of other methods, and for those whose rows do not agree.
    """
    kind = log.WhichOneof("log_type")
    inputs: dict[str, np.ndarray] = {}
    serialized: Sequence[bytes] = ()
    if kind == "predict_log":
        inputs = {
            name: array if array.ndim else array.reshape(1)
            for name, proto in log.predict_log.request.inputs.items()
            for array in (to_array(name, proto),)
        }
        outputs = log.predict_log.response.outputs
        answers = {name: to_array(name, proto) for name, proto in outputs.items()}
        if len(inputs) == 1 and not inputs.keys() & columns.types.keys():
            serialized, inputs = next(iter(inputs.values())).reshape(-1).tolist(), {}
    elif kind == "classify_log":
        serialized = _serialized(log.classify_log.request.input)
        found = [one.classes for one in log.classify_log.response.result.classifications]
        scores = [[one.score for one in classes] for classes in found]
        answers = {"scores": np.array(scores, np.float32)}
    elif kind == "regress_log":
        serialized = _serialized(log.regress_log.request.input)
        values = [one.value for one in log.regress_log.response.result.regressions]
        answers = {"outputs": np.array(values, np.float32)}
    else:
        return None
    rows = len(serialized) or max(map(len, inputs.values()), default=0)
    if not rows or any(len(array) != rows for array in (*inputs.values(), *answers.values())):
        return None
    about = log.log_metadata
    origin = urllib.parse.parse_qs(about.request_origin)
    return Kept(number, about.model_spec.version.value, rows, inputs, serialized, answers, origin)


def stacked(group: Sequence[Kept], columns: Columns) -> Part:
    """Requests of one form as tables, their rows in order."""
    first = group[0]
    if first.inputs:
        table = _of_columns(
            {name: np.concatenate([kept.inputs[name] for kept in group]) for name in first.inputs}
        )
    else:
        table = _of_examples([text for kept in group for text in kept.examples])
    answers = {
        name: np.concatenate([kept.answers[name] for kept in group]) for name in first.answers
    }
    about: list[str | None] = []
    observed: list[int] = []
    for kept in group:
        rows = table.slice(len(about), kept.rows)
        about += _told(kept.origin, rows, columns.entity, _text, None)
        observed += _told(kept.origin, rows, columns.time, _instant, -1)
    return Part(
        _typed(table, columns.types),
        answer_table(answers),
        [kept.version for kept in group for _ in range(kept.rows)],
        about,
        observed,
        [kept.request for kept in group for _ in range(kept.rows)],
    )


def _of_examples(records: Sequence[bytes]) -> pa.Table:
    return pa.Table.from_batches([examples.flatten(examples.decode(records))])


def _serialized(asked: input_pb2.Input) -> list[bytes]:
    if asked.WhichOneof("kind") == "example_list_with_context":
        context = asked.example_list_with_context
        before = context.context.SerializeToString()
        return [before + example.SerializeToString() for example in context.examples]
    return [example.SerializeToString() for example in asked.example_list.examples]


def _of_columns(arrays: Mapping[str, np.ndarray]) -> pa.Table:
    """Columns as ``predict_columns`` takes them, with nulls for its marks of missing values."""
    made = {}
    for name, array in arrays.items():
        if array.size != len(array):
            # Several values a row are no feature of ours.
            continue
        flat = array.reshape(-1)
        if flat.dtype.kind == "O":
            made[name] = pa.array([value or None for value in flat.tolist()], pa.binary())
        elif flat.dtype.kind == "f":
            made[name] = pa.array(flat, mask=np.isnan(flat))
        else:
            whole = flat.astype(np.int64)
            made[name] = pa.array(whole, mask=whole == MISSING_INTEGER)
    return pa.table(made)


def _typed(table: pa.Table, types: Mapping[str, str]) -> pa.Table:
    made = {}
    for name, kind in types.items():
        wanted = ARROW[kind]
        column = table[name] if name in table.column_names else pa.nulls(len(table))
        is_text = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
        if pa.types.is_null(column.type) or is_text != (kind == "bytes"):
            made[name] = pa.nulls(len(table), wanted)
        else:
            made[name] = column.cast(wanted, safe=False)
    return pa.table(made)


def _told(
    origin: Mapping[str, Sequence[str]],
    table: pa.Table,
    column: str,
    read: Callable[[object], _Value],
    otherwise: _Value,
) -> list[_Value]:
    """What the header said of each row, or else the example itself."""
    told = origin.get(column, ())
    if len(told) == len(table):
        return [read(text) for text in told]
    if column in table.column_names and not pa.types.is_list(table[column].type):
        return [otherwise if v is None else read(v) for v in table[column].to_pylist()]
    return [otherwise] * len(table)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _instant(value: object) -> int:
    if isinstance(value, int):
        return value
    try:
        return parse_instant(_text(value))
    except ValueError:
        return -1
