"""What SqlExampleGen is measured against, each writing the same rows as one split of tf.Examples.

- ``csv``: TFX's CsvExampleGen, from a CSV file.
- ``pandas``: ``pandas.read_sql``, a CSV file, CsvExampleGen.
- ``presto``: TFX's example of an ExampleGen of a database's rows, its own code; only the database's
  client is a stand-in, which reads SQLite.
- ``floor``: no more than reading the rows once and writing the same records once, in C: ADBC's
  SQLite driver to Arrow; CRC-32C and deflate (ISA-L) over records that were made before.
- ``floor_tf``: the same with TensorFlow's own writer of records, called from Python a record at a
  time, as it has to be, and with zlib at its default level: softer than the first.
- ``floor_duckdb``: the first, but reading DuckDB, whose own Arrow SqlExampleGen takes too.
"""

import sqlite3
import sys
import time
import types
from pathlib import Path
from typing import Any

import duckdb
import google_crc32c
import tensorflow as tf
from adbc_driver_sqlite import dbapi
from isal import isal_zlib

QUERY = "SELECT * FROM observations WHERE observed_at >= '1970-01-01'"
_BATCH_ROWS = 65_536
_BLOCK_BYTES = 1 << 20


def run_csv(folder: Path, output: str, arguments: list[Any]) -> float:
    """Seconds of CsvExampleGen's executor on a folder's CSV file."""
    from tfx.components.example_gen.csv_example_gen.executor import Executor

    return _run(Executor, output, arguments, "*.csv", input_base=str(folder))


def run_pandas(folder: Path, output: str, arguments: list[Any]) -> float:
    """Seconds of ``read_sql``, ``to_csv`` and CsvExampleGen."""
    import pandas as pd

    begun = time.perf_counter()
    connection = sqlite3.connect(folder / "plant.sqlite")
    rows = pd.read_sql(QUERY, connection)
    connection.close()
    Path(output, "csv").mkdir(parents=True)
    rows.to_csv(f"{output}/csv/plant.csv", index=False)
    return time.perf_counter() - begun + run_csv(Path(output, "csv"), output, arguments)


def run_presto(folder: Path, output: str, arguments: list[Any]) -> float:
    """Seconds of the executor of TFX's PrestoExampleGen."""
    sys.modules["prestodb"] = _client(folder / "plant.sqlite")
    from google.protobuf import any_pb2
    from tfx.examples.custom_components.presto_example_gen.presto_component.executor import Executor
    from tfx.examples.custom_components.presto_example_gen.proto import presto_config_pb2
    from tfx.proto import example_gen_pb2

    packed = any_pb2.Any()
    packed.Pack(presto_config_pb2.PrestoConnConfig(host="localhost"))
    config = example_gen_pb2.CustomConfig(custom_config=packed)
    return _run(Executor, output, arguments, QUERY, custom_config=_as_json(config))


def run_floor(folder: Path, output: str, framed: bytes) -> float:
    """Seconds of reading the rows to Arrow and writing records, framed before."""
    begun = time.perf_counter()
    _read(folder)
    _write(output, framed)
    return time.perf_counter() - begun


def run_floor_duckdb(folder: Path, output: str, framed: bytes) -> float:
    """``run_floor`` from DuckDB."""
    begun = time.perf_counter()
    with duckdb.connect(str(folder / "plant.duckdb"), read_only=True) as connection:
        for _ in connection.execute(QUERY).to_arrow_reader(_BATCH_ROWS):
            pass
    _write(output, framed)
    return time.perf_counter() - begun


def run_floor_tf(folder: Path, output: str, records: list[bytes]) -> float:
    """Seconds of reading the rows to Arrow and writing records with TensorFlow."""
    begun = time.perf_counter()
    _read(folder)
    with tf.io.TFRecordWriter(str(_split_file(output)), "GZIP") as writer:
        for record in records:
            writer.write(record)
    return time.perf_counter() - begun


def _write(output: str, framed: bytes) -> None:
    deflate = isal_zlib.compressobj(1, wbits=31)
    with _split_file(output).open("wb") as file:
        for at in range(0, len(framed), _BLOCK_BYTES):
            block = framed[at : at + _BLOCK_BYTES]
            google_crc32c.value(block)
            file.write(deflate.compress(block))
        file.write(deflate.flush())


def _split_file(output: str) -> Path:
    """A file in the split's folder, which is made."""
    folder = Path(output, "examples", "Split-all")
    folder.mkdir(parents=True)
    return folder / "floor.gz"


def _run(
    executor: Any, output: str, arguments: list[Any], pattern: str, **properties: Any
) -> float:
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_artifacts

    read = example_gen_pb2.Input(splits=[{"name": "all", "pattern": pattern}])
    examples = standard_artifacts.Examples()
    examples.uri = f"{output}/examples"
    begun = time.perf_counter()
    executor(executor.Context(beam_pipeline_args=arguments)).Do(
        {},
        {"examples": [examples]},
        {
            "input_config": _as_json(read),
            "output_config": _as_json(example_gen_pb2.Output()),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
            "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            **properties,
        },
    )
    return time.perf_counter() - begun


def _as_json(message: Any) -> str:
    from google.protobuf import json_format

    return json_format.MessageToJson(message, preserving_proto_field_name=True)


def _client(database: Path) -> Any:
    """A module like ``prestodb``, of which TFX's example uses connections and cursors."""

    class Cursor:
        def execute(self, query: str) -> None:
            self._cursor = sqlite3.connect(database).execute(query)

        def fetchall(self) -> list[tuple[Any, ...]]:
            rows = self._cursor.fetchall()
            kinds = {int: "bigint", float: "double", str: "varchar"}
            names = [column[0] for column in self._cursor.description]
            self.description = [
                (name, kinds[type(value)]) for name, value in zip(names, rows[0], strict=True)
            ]
            return rows

        def close(self) -> None:
            pass

    connection = types.SimpleNamespace(cursor=Cursor)
    dbapi = types.SimpleNamespace(Connection=object, connect=lambda **_: connection)
    auth = types.SimpleNamespace(Authentication=object)
    module: Any = types.ModuleType("prestodb")
    module.dbapi, module.auth = dbapi, auth
    return module


def _read(folder: Path) -> None:
    with (
        dbapi.connect(f"file:{folder / 'plant.sqlite'}?mode=ro") as connection,
        connection.cursor() as cursor,
    ):
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": _BATCH_ROWS})
        cursor.execute(QUERY)
        for _ in cursor.fetch_record_batch():
            pass


RIVALS = {"csv": run_csv, "pandas": run_pandas, "presto": run_presto}
"""Each takes the data's folder, where to write, and Beam's arguments."""
FLOORS = {"floor": run_floor, "floor_tf": run_floor_tf, "floor_duckdb": run_floor_duckdb}
"""Each takes the data's folder, where to write, and what."""
