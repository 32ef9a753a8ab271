"""The peers of ``benchmarks.sensor_windows``: the same windows in pandas, Polars and DuckDB.

All take the fast way of their library: readings are summed up by hour once, and three hours at a
time are put together on the grid of each machine; not a window over each reading. Squares are
summed about the mean of all readings, so that little is lost when they are subtracted.
"""

from pathlib import Path

import numpy as np

WRONG_CLOCK, OFFSET = "gateway-3", -90_000_000
"""A gateway, and what is added to its times, microseconds."""

Features = dict[str, np.ndarray]
Ranges = dict[str, tuple[float, float]]


def by_pandas(folder: str, form: str, ranges: Ranges, threads: int) -> Features:
    """Plain pandas; it has no use for threads."""
    import pandas as pd

    readers = {
        "csv": lambda path: pd.read_csv(path, parse_dates=["ts"]),
        "jsonl": lambda path: pd.read_json(path, lines=True, convert_dates=["ts"]),
        "parquet": pd.read_parquet,
    }
    files = sorted(Path(folder).glob(f"*.{form}"))
    frame = pd.concat([readers[form](path) for path in files], ignore_index=True)
    frame["ts"] = pd.to_datetime(frame["ts"], utc=True)
    frame["ts"] += pd.to_timedelta(np.where(frame["gateway"] == WRONG_CLOCK, OFFSET, 0), unit="us")
    frame = frame.drop_duplicates(["machine_id", "ts"], keep="first")
    for name, (low, high) in ranges.items():
        frame[name] = frame[name].where(frame[name].between(low, high))
    frame = frame.sort_values(["machine_id", "ts"])
    frame["end"] = frame["ts"].dt.ceil("1h")
    names = list(ranges)
    middle = frame[names].mean()
    squares = ((frame[names] - middle) ** 2).add_suffix("_squares")
    hours = pd.concat([frame, squares], axis=1).groupby(["machine_id", "end"])
    parts = hours[names].agg(["count", "sum", "min", "max", "last"])
    parts.columns = pd.Index(["_".join(column) for column in parts.columns])
    parts = parts.join(hours[[f"{name}_squares" for name in names]].sum())
    spans = frame.groupby("machine_id")["ts"].agg(["min", "max"])
    grid = [
        pd.MultiIndex.from_product(
            [
                [machine],
                pd.date_range(first.ceil("1h"), (last + pd.Timedelta("3h")).floor("1h"), freq="1h"),
            ]
        )
        for machine, first, last in zip(spans.index, spans["min"], spans["max"], strict=True)
    ]
    index = grid[0].append(grid[1:])
    parts = parts.reindex(index)
    added = [c for c in map(str, parts) if c.endswith(("_count", "_sum", "_squares"))]
    parts[added] = parts[added].fillna(0)
    rolled = parts.groupby(level=0, group_keys=False).rolling(3, min_periods=1)
    sums = rolled[added].sum()
    lows = rolled[[f"{n}_min" for n in names]].min()
    highs = rolled[[f"{n}_max" for n in names]].max()
    lasts = parts[[f"{n}_last" for n in names]].groupby(level=0).ffill(limit=2)
    result = {
        "machine_id": index.get_level_values(0).to_numpy(),
        "time": index.get_level_values(1)
        .tz_localize(None)
        .to_numpy()
        .astype("M8[us]")
        .astype(np.int64),
    }
    for name in names:
        count = sums[f"{name}_count"].round().to_numpy()
        filled = np.where(count > 0, count, np.nan)
        mean = sums[f"{name}_sum"].to_numpy() / filled
        away = sums[f"{name}_squares"].to_numpy() - filled * (mean - middle[name]) ** 2
        several = np.where(count > 1, count - 1, np.nan)
        result[f"{name}_count_3h"] = count
        result[f"{name}_mean_3h"] = mean
        result[f"{name}_std_3h"] = np.sqrt(np.maximum(away, 0) / several)
        result[f"{name}_min_3h"] = lows[f"{name}_min"].to_numpy()
        result[f"{name}_max_3h"] = highs[f"{name}_max"].to_numpy()
        result[f"{name}_last_3h"] = lasts[f"{name}_last"].to_numpy()
    return result


def polars_readings(folder: str, form: str, ranges: Ranges):  # type: ignore[no-untyped-def]
    """A lazy frame of readings: clocks set right, values in range or null."""
    import polars as pl

    kinds = {"machine_id": pl.Int64, "gateway": pl.String, "ts": pl.String}
    kinds |= dict.fromkeys(ranges, pl.Float64)
    files = sorted(Path(folder).glob(f"*.{form}"))
    if form == "parquet":
        rows = pl.scan_parquet(files)
    elif form == "csv":
        rows = pl.scan_csv(files, schema=kinds).with_columns(
            pl.col("ts").str.to_datetime("%Y-%m-%d %H:%M:%S%.f")
        )
    else:
        rows = pl.scan_ndjson(files, schema=kinds).with_columns(
            pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ")
        )
    wrong = pl.when(pl.col("gateway") == WRONG_CLOCK).then(pl.duration(microseconds=OFFSET))
    return rows.select(
        "machine_id",
        pl.col("ts").cast(pl.Datetime("us")) + wrong.otherwise(pl.duration(microseconds=0)),
        *(
            pl.when(pl.col(n).is_between(low, high)).then(pl.col(n)).alias(n)
            for n, (low, high) in ranges.items()
        ),
    )


def by_polars(folder: str, form: str, ranges: Ranges, threads: int) -> Features:
    """Polars, lazily; how many threads it takes is settled before it is imported."""
    import polars as pl

    # Sorted, repeated readings are neighbours: half the time of ``unique`` and a sort.
    rows = (
        polars_readings(folder, form, ranges)
        .sort("machine_id", "ts", maintain_order=True)
        .filter(
            pl.col("machine_id").ne_missing(pl.col("machine_id").shift())
            | pl.col("ts").ne_missing(pl.col("ts").shift())
        )
        .collect()
    )
    middle = {n: rows[n].mean() for n in ranges}
    parts = rows.group_by(
        "machine_id", end=(pl.col("ts") - pl.duration(microseconds=1)).dt.truncate("1h") + _hours(1)
    ).agg(
        part
        for n in ranges
        for part in (
            pl.col(n).count().cast(pl.Float64).alias(f"{n}_count"),
            pl.col(n).sum().alias(f"{n}_sum"),
            ((pl.col(n) - middle[n]) ** 2).sum().alias(f"{n}_squares"),
            pl.col(n).min().alias(f"{n}_min"),
            pl.col(n).max().alias(f"{n}_max"),
            pl.col(n).drop_nulls().last().alias(f"{n}_last"),
        )
    )
    grid = (
        rows.group_by("machine_id")
        .agg(
            pl.datetime_range(
                (pl.col("ts").min() - pl.duration(microseconds=1)).dt.truncate("1h") + _hours(1),
                (pl.col("ts").max() + _hours(3)).dt.truncate("1h"),
                "1h",
            ).alias("end")
        )
        .explode("end")
        .sort("machine_id", "end")
    )
    laid = grid.join(parts, on=["machine_id", "end"], how="left", maintain_order="left")
    rolled = laid.select("machine_id", "end", *_rolled(ranges))
    result = {
        "machine_id": rolled["machine_id"].to_numpy(),
        "time": rolled["end"].cast(pl.Int64).to_numpy(),
    }
    for n in ranges:
        column = {a: rolled[f"{n}_{a}"].to_numpy() for a in _PARTS}
        result |= _finished(n, column, middle[n])
    return result


_PARTS = ("count", "sum", "squares", "min", "max", "last")


def _hours(count: int):  # type: ignore[no-untyped-def]
    import polars as pl

    return pl.duration(hours=count)


def _rolled(ranges: Ranges):  # type: ignore[no-untyped-def]
    import polars as pl

    for n in ranges:
        for part in ("count", "sum", "squares"):
            column = pl.col(f"{n}_{part}").fill_null(0)
            yield column.rolling_sum(3, min_samples=1).over("machine_id")
        yield pl.col(f"{n}_min").rolling_min(3, min_samples=1).over("machine_id")
        yield pl.col(f"{n}_max").rolling_max(3, min_samples=1).over("machine_id")
        yield pl.col(f"{n}_last").forward_fill(2).over("machine_id")


def duckdb_readings(folder: str, form: str, ranges: Ranges, threads: int):  # type: ignore[no-untyped-def]
    """A connection with a table of readings: clocks set right, values in range or null."""
    import duckdb

    # Told the types, it need not guess them: a fifth of the time.
    kinds = {"machine_id": "BIGINT", "gateway": "VARCHAR", "ts": "TIMESTAMP"}
    kinds |= dict.fromkeys(ranges, "DOUBLE")
    reader = {
        "csv": f"read_csv('{folder}/*.csv', header = true, delim = ',', columns = {kinds})",
        "jsonl": f"read_json('{folder}/*.jsonl', format = 'newline_delimited', columns = {kinds})",
        "parquet": f"read_parquet('{folder}/*.parquet')",
    }[form]
    inside = ", ".join(
        f"CASE WHEN {n} BETWEEN {low} AND {high} THEN {n} END AS {n}"
        for n, (low, high) in ranges.items()
    )
    connection = duckdb.connect(config={"threads": threads})
    connection.execute(
        "CREATE TEMP TABLE readings AS SELECT machine_id, "
        f"CASE WHEN gateway = '{WRONG_CLOCK}' THEN ts::TIMESTAMP + to_microseconds({OFFSET}) "
        f"ELSE ts::TIMESTAMP END AS ts, {inside} FROM {reader}"
    )
    return connection


def by_duckdb(folder: str, form: str, ranges: Ranges, threads: int) -> Features:
    """DuckDB, in one statement after the mean of all."""
    connection = duckdb_readings(folder, form, ranges, threads)
    firsts = ", ".join(f"first({n}) AS {n}" for n in ranges)
    connection.execute(
        f"CREATE TEMP TABLE once AS SELECT machine_id, ts, {firsts} FROM readings GROUP BY ALL"
    )
    means = connection.execute(f"SELECT {', '.join(f'avg({n})' for n in ranges)} FROM once")
    middle = dict(zip(ranges, means.fetchone() or (), strict=True))
    parts = ", ".join(
        f"count({n})::DOUBLE AS {n}_count, coalesce(sum({n}), 0) AS {n}_sum, "
        f"coalesce(sum(({n} - {middle[n]!r}) ** 2), 0) AS {n}_squares, "
        f"min({n}) AS {n}_min, max({n}) AS {n}_max, arg_max({n}, ts) AS {n}_last"
        for n in ranges
    )
    rolled = ", ".join(
        f"sum({n}_count) OVER w AS {n}_count, sum({n}_sum) OVER w AS {n}_sum, "
        f"sum({n}_squares) OVER w AS {n}_squares, min({n}_min) OVER w AS {n}_min, "
        f"max({n}_max) OVER w AS {n}_max, last_value({n}_last IGNORE NULLS) OVER w AS {n}_last"
        for n in ranges
    )
    found = connection.execute(
        f"""
        WITH hours AS (
          SELECT machine_id, time_bucket(INTERVAL 1 HOUR, ts - INTERVAL 1 MICROSECOND)
                 + INTERVAL 1 HOUR AS hour, {parts}
          FROM once GROUP BY ALL
        ), grid AS (
          SELECT machine_id, unnest(range(
                   min(hour), max(ts) + INTERVAL 3 HOUR + INTERVAL 1 MICROSECOND, INTERVAL 1 HOUR
                 )) AS hour
          FROM (SELECT machine_id, ts, time_bucket(INTERVAL 1 HOUR, ts - INTERVAL 1 MICROSECOND)
                       + INTERVAL 1 HOUR AS hour FROM once)
          GROUP BY machine_id
        )
        SELECT machine_id, epoch_us(hour) AS time, {rolled}
        FROM grid LEFT JOIN hours USING (machine_id, hour)
        WINDOW w AS (PARTITION BY machine_id ORDER BY hour ROWS 2 PRECEDING)
        ORDER BY machine_id, time
        """
    ).fetchnumpy()
    columns = {name: np.ma.filled(np.ma.asarray(c, float), np.nan) for name, c in found.items()}
    result = {"machine_id": np.asarray(found["machine_id"]), "time": np.asarray(found["time"])}
    for n in ranges:
        result |= _finished(n, {part: columns[f"{n}_{part}"] for part in _PARTS}, middle[n])
    return result


def _finished(name: str, part: Features, middle: float) -> Features:
    """A channel's features from what three hours add up to."""
    count = np.nan_to_num(part["count"])
    filled = np.where(count > 0, count, np.nan)
    mean = np.nan_to_num(part["sum"]) / filled
    away = np.nan_to_num(part["squares"]) - filled * (mean - middle) ** 2
    several = np.where(count > 1, count - 1, np.nan)
    return {
        f"{name}_count_3h": count,
        f"{name}_mean_3h": mean,
        f"{name}_std_3h": np.sqrt(np.maximum(away, 0) / several),
        f"{name}_min_3h": part["min"],
        f"{name}_max_3h": part["max"],
        f"{name}_last_3h": part["last"],
    }
