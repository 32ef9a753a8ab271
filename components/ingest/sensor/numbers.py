"""Measured values: text and numbers to float64, and units to units, columns at a time."""

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$|^[+-]?(?i:nan|inf|infinity)$"
_MISSING = ["", "null", "NULL", "None", "NA", "N/A"]
_SHORT_NAMES = {"C": "degC", "°C": "degC", "F": "degF", "°F": "degF", "%": "percent"}


def to_floats(column: pa.Array) -> tuple[Floats, Bools | None]:
    """Reads a column of numbers.

    Args:
      column: numbers, booleans, decimals or text; ``''``, null, None, NA and N/A are missing.

    Returns:
      float64[n], NaN where there is none, and bool[n] marking what is no number (None if all are).
    """
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return _floats(column.cast(pa.float64(), safe=False)), None
    if pa.types.is_boolean(kind):
        return _floats(column.cast(pa.int8()).cast(pa.float64())), None
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan), None
    try:
        return _floats(column.cast(pa.float64())), None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    try:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.full(len(column), np.nan), np.ones(len(column), bool)
    good = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
    picked = pc.replace_substring_regex(text.filter(good), r"^\+", "")
    numbers = np.full(len(column), np.nan)
    fits = np.array(good.to_numpy(zero_copy_only=False), bool)
    numbers[fits] = _floats(picked.cast(pa.float64()))
    return numbers, ~fits & ~missing_text(text)


def missing_text(text: pa.Array) -> Bools:
    """bool[n]: null, or a text that stands for a missing value."""
    absent = pc.or_(pc.is_null(text), pc.is_in(text, value_set=pa.array(_MISSING, text.type)))
    return np.array(absent.to_numpy(zero_copy_only=False), bool)


@functools.lru_cache(maxsize=4096)
def conversion(unit: str, target: str) -> tuple[float, float] | None:
    """How to turn values in ``unit`` into values in ``target``: ``value * scale + offset``.

    ``C`` and ``F`` are degrees where the target is a temperature. Logarithmic units (dB), which no
    scale and offset can turn, have no conversion here.

    Returns:
      Scale and offset, or None if the unit is unknown or of another dimension.
    """
    import pint

    registry = pint.get_application_registry()
    if unit == target:
        return 1.0, 0.0
    names = [_SHORT_NAMES[unit], unit] if unit in _SHORT_NAMES else [unit]
    for name in names:
        try:
            with np.errstate(all="ignore"):
                zero, one, many = (
                    float(registry.Quantity(x, name).to(target).magnitude) for x in (0.0, 1.0, 1e6)
                )
        except Exception:  # pint raises its own, tokenizer and attribute errors on odd text
            continue
        scale = (many - zero) / 1e6
        if np.isfinite(scale) and np.isclose(zero + scale, one):
            return scale, zero
    return None


def _floats(column: pa.Array) -> Floats:
    if column.null_count:
        column = pc.fill_null(column, np.nan)
    return column.to_numpy(zero_copy_only=False)
