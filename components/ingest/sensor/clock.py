"""Wrong clocks of gateways: offsets given in the settings, or estimated against the collector's.

A reading's delay, the collector's ``received_at`` less the gateway's time, is what the reading
needs on its way plus what the gateway's clock lags. The way has a floor, the fastest delivery,
which gateways on one network have in common; the low quantile of the delays is near it whatever
else is held up. So with ``low(g)`` the 5 % quantile of gateway g's delays::

    offset(g) = low(g) - median of low(r) over the reference gateways r

is what to add to g's times. References are the gateways that are not to be estimated (their given
offsets applied), or, if all are, all others: the median stands a minority of wrong clocks. With no
other gateway the floor is taken as zero. An offset below the noise, one second or three scaled
median absolute deviations of the references' low quantiles, counts as none.

Limits: one offset a gateway for the whole source, so a clock that drifts, or was set right
half-way, is only right on average; a gateway whose readings are nearly all held up (uploads once a
day) looks as if its clock lagged; a gateway behind a slower way keeps that difference as an error.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.durations import MICROSECONDS, format_duration
from components.ingest.errors import DataError
from components.ingest.sensor.files import Part
from components.ingest.sensor.reading import read_part
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.times import parse_times

Ints = npt.NDArray[np.int64]

QUANTILE = 0.05
NOISE = MICROSECONDS["s"]

_ENOUGH = 200
_SAMPLE_ROWS = 20_000
_MOST_ROWS = 1_000_000


def clock_offsets(
    name: str, source: SensorSource, parts: Sequence[Part]
) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """What to add to each gateway's times.

    Where an offset is to be estimated the first rows of each part are read, and all rows if a
    gateway shows up too rarely there.

    Args:
      name: the source's name.
      source: its settings.
      parts: all of its files.

    Returns:
      By gateway microseconds, and by gateway what the report says of it.

    Raises:
      DataError: if a gateway whose offset is to be estimated has no reading with ``received_at``.
    """
    given = {g: offset for g, offset in source.time.offsets.items() if offset != "estimate"}
    asked = [g for g in source.time.offsets if g not in given]
    report: dict[str, dict[str, Any]] = {
        gateway: {"offset": format_duration(int(offset)), "by": "settings"}
        for gateway, offset in given.items()
    }
    offsets = {gateway: int(offset) for gateway, offset in given.items()}
    if not asked:
        return offsets, report
    delays = _delays(name, source, parts, _SAMPLE_ROWS)
    if any(len(delays.get(gateway, ())) < _ENOUGH for gateway in asked):
        delays = _delays(name, source, parts, None)
    for gateway in asked:
        if not len(delays.get(gateway, ())):
            raise DataError(
                name,
                f"gateway {gateway!r}",
                "its clock is to be estimated, and no reading of it tells when it was received",
                f"Mend the name in sources.{name}.time.offsets or give an offset such as '-90s'. "
                f"Gateways with readings: {', '.join(sorted(delays)[:10]) or 'none'}.",
            )
    for gateway in asked:
        offset, low, floor, noise = estimate_offset(gateway, delays, offsets, asked)
        offsets[gateway] = offset
        report[gateway] = {
            "offset": format_duration(offset),
            "by": "estimate",
            "delay": f"{low / MICROSECONDS['s']:.3f}s",
            "delay_of_others": f"{floor / MICROSECONDS['s']:.3f}s",
            "noise": f"{noise / MICROSECONDS['s']:.3f}s",
            "readings": len(delays[gateway]),
        }
    return offsets, report


def estimate_offset(
    gateway: str, delays: dict[str, Ints], given: dict[str, int], asked: Sequence[str]
) -> tuple[int, float, float, float]:
    """Estimates one gateway's offset (see the module's text).

    Args:
      gateway: which.
      delays: by gateway int64[n], receipt less time, microseconds.
      given: by gateway the offsets that are known.
      asked: the gateways whose offsets are not.

    Returns:
      The offset, the gateway's low quantile, the references' median one and the noise, in
      microseconds.
    """
    low = float(np.quantile(delays[gateway], QUANTILE))
    others = [g for g in delays if g not in asked and len(delays[g])]
    lows = [float(np.quantile(delays[g], QUANTILE)) - given.get(g, 0) for g in others]
    if not lows:
        lows = [float(np.quantile(d, QUANTILE)) for g, d in delays.items() if g != gateway]
    floor = float(np.median(lows)) if lows else 0.0
    spread = float(np.median(np.abs(np.array(lows) - floor))) if lows else 0.0
    noise = max(float(NOISE), 3 * 1.4826 * spread)
    offset = low - floor
    return (round(offset) if abs(offset) >= noise else 0), low, floor, noise


def _delays(
    name: str, source: SensorSource, parts: Sequence[Part], sample: int | None
) -> dict[str, Ints]:
    """By gateway receipt less time of its readings, at most a million; microseconds."""
    assert source.gateway is not None and source.time.received_at is not None
    collected: dict[str, list[Ints]] = {}
    counts: dict[str, int] = {}
    settings = source.time
    only_times = source.model_copy(update={"batch_rows": min(source.batch_rows, _SAMPLE_ROWS)})
    for part in parts:
        read = 0
        for rows in read_part(name, only_times, part):
            batch = rows.batch
            wanted = (settings.column, settings.received_at, source.gateway)
            if all(column in batch.schema.names for column in wanted):
                time = parse_times(batch.column(wanted[0]), settings.unit, settings.timezone)
                received = parse_times(batch.column(wanted[1]), settings.unit, settings.timezone)
                known = np.ones(batch.num_rows, bool)
                for mask in (time.missing, time.bad, received.missing, received.bad):
                    known &= True if mask is None else ~mask
                delay = received.instants - time.instants
                for gateway, mine in _by_gateway(batch.column(wanted[2])):
                    found = delay[mine & known]
                    if counts.get(gateway, 0) < _MOST_ROWS:
                        collected.setdefault(gateway, []).append(found)
                        counts[gateway] = counts.get(gateway, 0) + len(found)
            read += batch.num_rows
            if sample is not None and read >= sample:
                break
    return {gateway: np.concatenate(pieces) for gateway, pieces in collected.items()}


def _by_gateway(column: pa.Array) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    codes = pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)
    return [(name, codes == code) for code, name in enumerate(column.dictionary.to_pylist())]
