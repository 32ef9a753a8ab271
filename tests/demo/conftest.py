import csv
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.write import PlantSummary, make_plant

CHANNELS = ("temperature", "vibration", "pressure", "rotation")
SIZE = {"machines": 12, "days": 14, "seed": 3}


class Plant:
    """A small plant and a slow, plain reading of its files."""

    def __init__(self, directory: pathlib.Path, summary: PlantSummary) -> None:
        self.directory = directory
        self.summary = summary
        self.malformed: list[tuple[str, int]] = []
        self.rows: list[dict] = []
        self.absent_keys = 0
        for path in sorted((directory / "telemetry").rglob("*.*")):
            self._read(path)

    def _read(self, path: pathlib.Path) -> None:
        place = path.relative_to(self.directory).as_posix()
        if path.suffix == ".parquet":
            self.rows += pq.read_table(path).to_pylist()
            return
        lines = path.read_text().splitlines()
        header = lines.pop(0).split(",") if path.suffix == ".csv" else []
        for number, line in enumerate(lines, 2 if header else 1):
            row = self._parse(line, header)
            if row is None:
                self.malformed.append((place, number))
            else:
                self.rows.append(row)

    def _parse(self, line: str, header: list[str]) -> dict | None:
        if header:
            fields = next(csv.reader([line]))
            if len(fields) != len(header):
                return None
            row = {k: v or None for k, v in zip(header, fields, strict=True)}
            row["machine_id"] = int(row["machine_id"])
        else:
            try:
                row = json.loads(line)
            except ValueError:
                return None
        self.absent_keys += sum(channel not in row for channel in CHANNELS)
        try:
            for channel in CHANNELS:
                value = row.get(channel)
                row[channel] = None if value is None else float(value)
        except ValueError:
            return None
        return row

    def column(self, name: str) -> np.ndarray:
        return np.array([row.get(name) for row in self.rows], dtype=object)

    def times(self, name: str) -> np.ndarray:
        """int64 microseconds of a time column."""
        texts = [
            row[name].rstrip("Z")
            if isinstance(row[name], str)
            else row[name].replace(tzinfo=None).isoformat()
            for row in self.rows
        ]
        return np.array(texts, dtype="datetime64[us]").astype(np.int64)

    def truth(self, kind: str) -> pa.Table:
        files = sorted((self.directory / "truth" / kind).glob("*.parquet"))
        return pa.concat_tables([pq.read_table(file) for file in files])


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    directory = tmp_path_factory.mktemp("demo") / "plant"
    return Plant(directory, make_plant(directory, **SIZE))
