"""The component on Beam, from files to Examples, quarantine and report."""

import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.types import standard_artifacts

from components.ingest.artifacts import QualityReport, Quarantine
from components.ingest.errors import DataError
from components.ingest.examples import read_table, shard_name, split_files
from components.ingest.sensor import features as sensor_features
from components.ingest.sensor.features import sensor_windows
from components.sensor_example_gen import executor, stages
from components.sensor_example_gen.component import SensorExampleGen
from tests.memory_bucket import registered

pytestmark = pytest.mark.tfx

BEAM = ["--runner=FnApiRunner", "--sdk_container_image=none"]
SPLIT = {"by": "time", "train": "12h", "eval": "6h"}
MINUTE = 60_000_000


@pytest.fixture
def source(plain, tmp_path):
    """Four files of forty machines, with some bad lines; windows of two steps."""
    for number in range(4):
        rows = [
            {
                "machine": (i * 7 + number) % 40,
                "ts": plain.iso(plain.begin + (i * 3 + number) * MINUTE),
                "temperature": float(i % 90),
                "pressure": 1000.0 + i,
            }
            for i in range(480)
        ]
        plain.write_jsonl(tmp_path / f"{number}.jsonl", [*rows, rows[3], "{", rows[2]])
    return plain.make_source(
        tmp_path / "*.jsonl",
        channels={"temperature": {"range": [0, 85]}, "pressure": {}},
        windows=[
            {"size": "3h", "every": "1h", "aggregate": ["mean", "count", "slope"]},
            {"size": "6h", "aggregate": {"pressure": ["max"]}},
        ],
        max_rejected=0.2,
    )


def properties(source, **changes):
    return {
        "name": "telemetry",
        "source": source.model_dump_json(),
        "as_of": "2025-03-02T00:00:00Z",
        "split": json.dumps(SPLIT),
        "horizon": "3h",
        "watermark": "",
        "code": "",
    } | changes


def run(folder, source, **changes):
    outputs = {
        "examples": [standard_artifacts.Examples()],
        "quarantine": [Quarantine()],
        "report": [QualityReport()],
    }
    for key, (artifact,) in outputs.items():
        artifact.uri = str(folder / "out" / key)
    context = executor.Executor.Context(beam_pipeline_args=BEAM, tmp_dir=str(folder / "tmp"))
    executor.Executor(context).Do({}, outputs, properties(source, **changes))
    return outputs["examples"][0]


def report_of(folder):
    return json.loads((folder / "out" / "report" / "report.json").read_text())


def check_outputs(folder, artifact, source, plain, buckets):
    begin = plain.begin + (24 - 3 - 6 - 3 - 12) * 60 * MINUTE
    expected = sensor_windows("telemetry", source, begin, plain.begin + 21 * 60 * MINUTE)
    for split, wanted in expected.tables.items():
        files = split_files(artifact.uri, split)
        assert [pathlib.Path(f).name for f in files] == [
            shard_name(i, buckets) for i in range(buckets)
        ]
        found = read_table(files).sort_by([("machine", "ascending"), ("time", "ascending")])
        assert sorted(found.column_names) == sorted(wanted.column_names)
        assert found.num_rows == wanted.num_rows > 40
        for name in wanted.column_names:
            if name in ("machine", "time", "known_at"):
                assert found[name].to_pylist() == wanted[name].to_pylist()
            else:
                np.testing.assert_allclose(
                    found[name].to_numpy(), wanted[name].to_numpy(), rtol=1e-6
                )
    report = report_of(folder)
    assert report == json.loads(json.dumps(expected.report))
    rejected = pq.read_table(folder / "out" / "quarantine")
    assert rejected.num_rows == expected.quarantine.num_rows > 50
    assert report["readings"]["rejected"] == sum(rejected["readings"].to_pylist())
    assert not [p for p in (folder / "out").rglob("*") if p.name.startswith(".")]


@pytest.mark.parametrize("many", [False, True])
def test_outputs_are_those_of_the_plain_function(plain, tmp_path, monkeypatch, source, many):
    if many:
        prepare = sensor_features.prepare
        monkeypatch.setattr(
            executor, "prepare", lambda *a: prepare(*a, bucket_bytes=50_000, part_bytes=20_000)
        )
        monkeypatch.setattr(executor, "portions", lambda job: [[part] for part in job.parts])
    artifact = run(tmp_path, source)
    assert json.loads(artifact.split_names) == ["every_1h", "every_6h"]
    size = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    check_outputs(tmp_path, artifact, source, plain, -(-size // 50_000) if many else 1)


def test_a_stage_that_runs_again_doubles_nothing(plain, tmp_path, monkeypatch, source):
    """Beam may run a bundle again after it failed half-way, or twice side by side."""

    class Twice(stages.CleanPortion):
        def process(self, element):
            list(super().process(element))
            yield from super().process(element)

    class TwiceWindow(stages.WindowBucket):
        def process(self, element):
            element = (element[0], list(element[1]))
            super().process(element)
            super().process(element)

    monkeypatch.setattr(executor, "CleanPortion", Twice)
    monkeypatch.setattr(executor, "WindowBucket", TwiceWindow)
    artifact = run(tmp_path, source)
    check_outputs(tmp_path, artifact, source, plain, 1)


def test_too_many_rejected_stop_it_after_the_report(tmp_path, source):
    with pytest.raises(DataError, match=r"rejected, above max_rejected 1.0%: malformed 8, out_of"):
        run(tmp_path, source.model_copy(update={"max_rejected": 0.01}))
    assert report_of(tmp_path)["readings"]["rejected_share"] > 0.01
    assert list((tmp_path / "out" / "quarantine").glob("*.parquet"))


def test_an_error_in_a_worker_reaches_the_reader_whole(tmp_path, source):
    import gzip

    packed = gzip.compress((tmp_path / "0.jsonl").read_bytes() * 50)
    (tmp_path / "5.jsonl.gz").write_bytes(packed[: len(packed) - 300])
    both = source.model_copy(update={"path": [f"{tmp_path}/*.jsonl", f"{tmp_path}/*.gz"]})
    with pytest.raises(DataError) as error:
        run(tmp_path, both)
    assert str(error.value).startswith(f"telemetry: {tmp_path}/5.jsonl.gz: cannot be read: ")
    assert "Error" not in str(error.value)


def test_a_run_outside_the_files_time(tmp_path, source):
    with pytest.raises(DataError, match=r"none of [\d,]+ readings lies in the run's time; times"):
        run(tmp_path, source, as_of="2024-03-02T00:00:00Z")


def test_it_runs_in_a_pipeline(tmp_path, source):
    component = SensorExampleGen(**properties(source)).with_id("SensorExampleGen.telemetry")
    local_dag_runner.LocalDagRunner().run(
        tfx_pipeline.Pipeline(
            pipeline_name="p",
            pipeline_root=str(tmp_path / "root"),
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(tmp_path / "mlmd.db")
            ),
            components=[component],
            beam_pipeline_args=BEAM,
        )
    )
    root = tmp_path / "root" / "SensorExampleGen.telemetry"
    assert list(root.glob("examples/*/Split-every_1h/data_tfrecord-00000-of-00001.gz"))
    assert list(root.glob("report/*/report.json"))
    assert list(root.glob("quarantine/*/series-00000.parquet"))


@pytest.mark.parametrize("place", ["a folder", "a bucket"])
def test_a_rerun_reads_the_files_that_are_new_or_changed(source, plain, tmp_path, place):
    directory = registered() if place == "a bucket" else str(tmp_path / "kept")
    kept = {"incremental": {"directory": directory}}
    incremental = source.model_validate(source.model_dump(mode="json") | kept)
    first, again = tmp_path / "first", tmp_path / "again"
    run(first, incremental)
    assert report_of(first)["spans"] == {"of": "files", "read": 4, "reused": 0}
    rows = [{"machine": 3, "ts": plain.iso(plain.begin), "temperature": 9.0, "pressure": 1.0}]
    plain.write_jsonl(tmp_path / "4.jsonl", rows)
    made = run(again, incremental)
    whole = run(tmp_path / "whole", source)
    told, of_whole = report_of(again), report_of(tmp_path / "whole")
    assert told.pop("spans") == {"of": "files", "read": 1, "reused": 4}
    assert told.pop("summary") == of_whole.pop("summary") + ", 1 of 5 files read"
    assert told == of_whole
    for split in ("every_1h", "every_6h"):
        tables = [read_table(split_files(one.uri, split)) for one in (made, whole)]
        assert tables[0] == tables[1]
