"""What a candidate answers for the evaluation split, kept with it: later answers are compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.serving_gate.answers import InProcess
from components.serving_gate.requests import make
from serving.releases import PREDICTIONS

ROWS = 20_000
"""Of a larger split so many examples are asked for."""
_BATCH = 512


def keep(model: InProcess, records: Sequence[bytes], candidate: Path) -> None:
    """Writes the answers into a candidate's ``assets.extra/predictions.parquet``.

    Args:
      model: the candidate.
      records: serialized tf.Examples.
      candidate: the folder of the copy that will be pushed.
    """
    answers = [answer_table(model.answer(request)) for request in make(records, None, _BATCH)]
    path = candidate / PREDICTIONS
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.concat_tables(answers), path)


def answer_table(outputs: Mapping[str, npt.NDArray[np.generic]]) -> pa.Table:
    """Answers of n rows as plain columns.

    Args:
      outputs: by name [n] or [n, k] numbers or text.

    Returns:
      For [n] and [n, 1] the output's name; for more columns of numbers ``<name>_0`` and so on;
      of text only single columns, as a classifier repeats all of its classes for each row.
    """
    columns: dict[str, pa.Array] = {}
    for name, values in sorted(outputs.items()):
        flat = values.reshape(len(values), -1)
        if flat.shape[1] == 1:
            columns[name] = pa.array(flat[:, 0].tolist(), _arrow(flat.dtype))
        elif flat.dtype.kind != "O":
            for place in range(flat.shape[1]):
                columns[f"{name}_{place}"] = pa.array(flat[:, place])
    return pa.table(columns)


def _arrow(dtype: np.dtype) -> pa.DataType:
    return pa.binary() if dtype.kind == "O" else pa.from_numpy_dtype(dtype)
