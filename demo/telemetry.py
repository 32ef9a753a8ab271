"""Writes one gateway's sensor files and their truth, a chunk of time after another.

Memory holds one chunk and what arrives after its end. Files are cut by time of receipt:
``telemetry/gateway-1/20250101T00.jsonl`` holds what came until the next file begins.
"""

import collections
import contextlib
import pathlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demo import faults, lines
from demo.options import BEGIN, CHANNELS, COMPONENTS, HOUR, Options
from demo.signals import channel_levels, episode_of, read_levels, standing
from demo.wear import Line

READING_SCHEMA = pa.schema(
    [("machine_id", pa.int64()), ("time", pa.timestamp("us", tz="UTC"))]
    + [(name, pa.float64()) for name in CHANNELS]
)
STATE_SCHEMA = pa.schema(
    [("machine_id", pa.int64()), ("time", pa.timestamp("us", tz="UTC")), ("load", pa.float64())]
    + [(name, pa.float64()) for name in COMPONENTS]
)
FAULT_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("gateway", pa.string()),
        ("machine_id", pa.int64()),
        ("channel", pa.string()),
        ("begin", pa.timestamp("us", tz="UTC")),
        ("end", pa.timestamp("us", tz="UTC")),
        ("readings", pa.int64()),
        ("file", pa.string()),
        ("line", pa.int64()),
    ]
)


def _states(line: Line) -> pa.Table:
    """Load and each component's share of life used, by machine and hour."""
    m, _, hours = line.used.shape
    time = np.tile(BEGIN + np.arange(hours) * HOUR, m)
    columns = [pa.array(np.repeat(line.machines.machine_id, hours)), lines.instants(time)]
    columns.append(pa.array(line.load.ravel()))
    columns += [
        pa.array(np.ascontiguousarray(line.used[:, c]).ravel()) for c in range(len(COMPONENTS))
    ]
    return pa.table(columns, schema=STATE_SCHEMA)


class GatewayWriter:
    """Writes what one gateway sent: sensor files, clean readings and faults.

    Attributes:
      counts: faults by kind, and ``readings`` (taken), ``lines`` (written, copies included).
      files: how many sensor files there are.
    """

    def __init__(self, options: Options, line: Line, directory: pathlib.Path) -> None:
        self.options = options
        self.line = line
        self.directory = directory
        self.gateway = line.machines.gateway
        self.name = f"gateway-{self.gateway}"
        self.counts: collections.Counter[str] = collections.Counter()
        self.files = 0
        self._levels = channel_levels(options, line)
        self._episodes = faults.draw_episodes(options, line)
        self._lost = np.zeros(len(self._episodes.gaps), dtype=np.int64)
        self._held = np.zeros(len(self._episodes.stuck), dtype=np.int64)
        self._newest = np.zeros(len(line.machines.machine_id), dtype=np.int64)
        self._waiting: faults.Readings | None = None

    def write(self, progress: Callable[[int], None]) -> None:
        """Writes everything; ``progress`` gets the number of readings taken with each chunk."""
        truth = self.directory / "truth"
        folder = self.directory / "telemetry" / self.name
        for path in (truth / "readings", truth / "faults", truth / "states", folder):
            path.mkdir(parents=True, exist_ok=True)
        pq.write_table(_states(self.line), truth / "states" / f"{self.name}.parquet")
        with contextlib.ExitStack() as stack:
            self._readings, self._faults = (
                stack.enter_context(
                    pq.ParquetWriter(
                        truth / kind / f"{self.name}.parquet", schema, use_dictionary=False
                    )
                )
                for kind, schema in (("readings", READING_SCHEMA), ("faults", FAULT_SCHEMA))
            )
            step = self.options.chunk_hours * HOUR
            for number, begin in enumerate(range(BEGIN, self.options.end, step)):
                progress(self._write_chunk(folder, number, begin, begin + step))
            self._write_episodes()

    def _write_chunk(self, folder: pathlib.Path, number: int, begin: int, end: int) -> int:
        options, line = self.options, self.line
        last = end >= options.end
        rng = options.rng(self.gateway, 5, number)
        machine, time = faults.take_times(options, line, begin, min(end, options.end), rng)
        up = ~standing(line, machine, time)
        machine, time = machine[up], time[up]
        clean = read_levels(self._levels, machine, time, rng)
        taken = len(time)
        self._keep_clean(machine, time, clean)

        gap = episode_of(self._episodes.gaps, machine, time)
        self._lost += np.bincount(gap[gap >= 0], minlength=len(self._lost))
        came = gap < 0
        parts = (machine[came], time[came], clean[came])
        sent, found = faults.spoil(
            options, line, self._episodes, self._levels, parts, rng, number == 0
        )
        for fault in found:
            self._record(fault)
        if self._waiting is not None:
            sent = self._waiting.plus(sent)
        sent = sent.take(np.argsort(sent.received, kind="stable"))
        now = np.ones(len(sent), dtype=bool) if last else sent.received < end
        self._waiting = sent.take(~now)
        self._write_file(folder, begin, sent.take(now))
        return taken

    def _keep_clean(self, machine: np.ndarray, time: np.ndarray, clean: np.ndarray) -> None:
        columns = [pa.array(self.line.machines.machine_id[machine]), lines.instants(time)]
        columns += [pa.array(np.ascontiguousarray(clean[:, c])) for c in range(len(CHANNELS))]
        self._readings.write_table(pa.table(columns, schema=READING_SCHEMA))
        self.counts["readings"] += len(time)

    def _write_file(self, folder: pathlib.Path, begin: int, rows: faults.Readings) -> None:
        """Writes readings in the order of receipt, and records what only that order tells."""
        kind = faults.format_of(self.gateway)
        stamp = np.datetime64(begin, "us").astype("datetime64[h]").item()
        path = folder / f"{stamp:%Y%m%dT%H}.{kind}"
        fahrenheit = faults.is_fahrenheit(self.options, self.gateway, rows.time)
        clock = faults.WRONG_CLOCK.get(self.gateway, 0)
        machine_id = self.line.machines.machine_id[rows.machine]
        if kind == "parquet":
            pq.write_table(lines.to_table(rows, machine_id, self.name, clock, fahrenheit), path)
        else:
            encode, header = (
                (lines.to_jsonl, "") if kind == "jsonl" else (lines.to_csv, lines.CSV_HEADER)
            )
            with path.open("wb") as file:
                file.write(header.encode())
                file.write(encode(rows, machine_id, self.name, clock, fahrenheit))
        self.files += 1
        self.counts["lines"] += len(rows)

        first_line = 2 if kind == "csv" else 1
        place = path.relative_to(self.directory).as_posix()
        for code, name in faults.MALFORMED_KINDS.items():
            row = np.nonzero(rows.malformed == code)[0]
            fault = faults.Found(
                f"malformed_{name}", rows.machine[row], rows.bad[row], rows.time[row]
            )
            self._record(fault, file=place, line=row + first_line)
        proper = rows.take((rows.malformed == faults.WHOLE) & ~rows.copy)
        none = np.full(len(proper), -1)
        for name, where in (
            ("late", proper.received - proper.time > faults.LATE_AFTER),
            ("out_of_order", self._overtaken(proper)),
            ("wrong_clock", np.full(len(proper), clock != 0)),
            ("unit_changed", faults.is_fahrenheit(self.options, self.gateway, proper.time)),
        ):
            if name in ("wrong_clock", "unit_changed"):
                self.counts[name] += int(where.sum())
            else:
                fault = faults.Found(name, proper.machine[where], none[where], proper.time[where])
                self._record(fault)

    def _overtaken(self, rows: faults.Readings) -> np.ndarray:
        """Which readings are older than one of the same machine that came before: bool[n]."""
        order = np.argsort(rows.machine, kind="stable")
        machine, time = rows.machine[order], rows.time[order]
        # Machines are laid end to end on one axis, so that one running maximum serves all.
        axis = machine * (1 << 52) + np.maximum(time, self._newest[machine]) - BEGIN
        newest = np.maximum.accumulate(axis)
        overtaken = np.empty(len(rows), dtype=bool)
        overtaken[order] = machine * (1 << 52) + time - BEGIN < newest
        np.maximum.at(self._newest, machine, time)
        return overtaken

    def _record(
        self, fault: faults.Found, file: str | None = None, line: np.ndarray | None = None
    ) -> None:
        n = len(fault.time)
        self.counts[fault.kind] += n
        if fault.kind == "stuck" and n:
            series = fault.machine * len(CHANNELS) + fault.channel
            episode = episode_of(self._episodes.stuck, series, fault.time)
            self._held += np.bincount(episode, minlength=len(self._held))
        if n == 0:
            return
        channels = pa.array([*CHANNELS, None], pa.string())
        columns = [
            pa.array([fault.kind] * n),
            pa.array([self.name] * n),
            pa.array(self.line.machines.machine_id[fault.machine]),
            channels.take(pa.array(np.where(fault.channel < 0, len(CHANNELS), fault.channel))),
            lines.instants(fault.time),
            pa.nulls(n, FAULT_SCHEMA.field("end").type),
            pa.array(np.ones(n, dtype=np.int64)),
            pa.array([file] * n, pa.string()),
            pa.array(line, pa.int64()) if line is not None else pa.nulls(n, pa.int64()),
        ]
        self._faults.write_table(pa.table(columns, schema=FAULT_SCHEMA))

    def _write_episodes(self) -> None:
        for kind, rows, readings in (
            ("gap", self._episodes.gaps, self._lost),
            ("stuck_episode", self._episodes.stuck, self._held),
            ("outage", self._episodes.outages, None),
        ):
            machines = self.line.machines.machine_id
            names: list[str | None] = [None] * len(rows)
            ids: list[int | None] = [None] * len(rows)
            if kind == "gap":
                ids = machines[rows[:, 0]].tolist()
            elif kind == "stuck_episode":
                ids = machines[rows[:, 0] // len(CHANNELS)].tolist()
                names = [CHANNELS[c] for c in rows[:, 0] % len(CHANNELS)]
            columns = [
                pa.array([kind] * len(rows)),
                pa.array([self.name] * len(rows)),
                pa.array(ids, pa.int64()),
                pa.array(names, pa.string()),
                lines.instants(rows[:, 1]),
                lines.instants(rows[:, 2]),
                pa.nulls(len(rows), pa.int64()) if readings is None else pa.array(readings),
                pa.nulls(len(rows), pa.string()),
                pa.nulls(len(rows), pa.int64()),
            ]
            self._faults.write_table(pa.table(columns, schema=FAULT_SCHEMA))
            self.counts[kind] += len(rows)
        self.counts["lost"] += int(self._lost.sum())
