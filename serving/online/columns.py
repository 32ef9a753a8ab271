"""Features as the columns that ``predict_columns`` takes; see trainer/signatures.py."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serving.online.errors import PredictionError

MISSING_INTEGER = -(2**63)
"""Stands for a missing value of an integer category."""

DTYPES: Mapping[str, npt.DTypeLike] = {
    "DT_DOUBLE": np.float64,
    "DT_FLOAT": np.float32,
    "DT_INT64": np.int64,
    "DT_INT32": np.int32,
    "DT_BOOL": np.bool_,
    "DT_STRING": object,
}
"""NumPy's types by TensorFlow's names of them; text is bytes in an object array."""


def request_columns(table: pa.Table, inputs: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Picks and types what the model asks for.

    Args:
      table: n rows, as ``FeatureReader`` gives them.
      inputs: by column the type's name, as the signature tells: ``DT_STRING``, ``DT_INT64`` for
        integer categories, else ``DT_DOUBLE``.

    Returns:
      By column [n]: bytes with b'' where missing, int64 with MISSING_INTEGER, float64 with NaN.

    Raises:
      PredictionError: if the table lacks a column, or has another kind of values in it.
    """
    return {name: _column(table, name, dtype) for name, dtype in inputs.items()}


def _column(table: pa.Table, name: str, dtype: str) -> np.ndarray:
    if name not in table.column_names:
        raise PredictionError(
            "FAILED_PRECONDITION",
            f"the model asks for column {name!r}, which the settings' sources don't give; it was "
            "trained with other settings",
        )
    column = table[name]
    kind = column.type
    if pa.types.is_null(kind):
        column = pa.chunked_array([pa.nulls(len(table), _ARROW.get(dtype, pa.float64()))])
    is_text = pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_binary(kind)
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not pa.types.is_null(kind) and (nested or is_text != (dtype == "DT_STRING")):
        raise PredictionError(
            "FAILED_PRECONDITION",
            f"the model asks for {dtype} in column {name!r}, and the features hold {kind}",
        )
    if dtype == "DT_STRING":
        filled = column.cast(pa.binary()).fill_null(b"")
        values = np.empty(len(table), object)
        values[:] = filled.to_pylist()
        return values
    if dtype == "DT_INT64":
        integers = column.cast(pa.int64()).fill_null(MISSING_INTEGER)
        return np.asarray(integers, np.int64)
    if dtype not in ("DT_DOUBLE", "DT_FLOAT"):
        raise PredictionError(
            "FAILED_PRECONDITION", f"column {name!r} is of type {dtype}, which no feature has"
        )
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan), DTYPES[dtype])


_ARROW = {"DT_STRING": pa.binary(), "DT_INT64": pa.int64()}
