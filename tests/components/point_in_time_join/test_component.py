"""The component on Beam, from Examples files to Examples files."""

import copy
import json
import pathlib

import numpy as np
import pyarrow as pa
import pytest
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.types import channel, standard_artifacts

from components.ingest.artifacts import QualityReport
from components.ingest.errors import DataError
from components.ingest.examples import (
    ShardWriter,
    read_table,
    shard_name,
    split_files,
    split_folder,
)
from components.point_in_time_join import shuffle
from components.point_in_time_join.component import PointInTimeJoin
from components.point_in_time_join.executor import Executor
from components.point_in_time_join.join import join

pytestmark = pytest.mark.tfx

AS_OF = "2025-04-01T00:00:00Z"
BEAM = ["--runner=FnApiRunner", "--sdk_container_image=none"]


def examples(folder: pathlib.Path, splits: dict[str, pa.Table], shards: int = 2):
    for split, table in splits.items():
        for index in range(shards):
            part = table.take(pa.array(np.arange(index, len(table), shards)))
            path = f"{split_folder(str(folder), split)}/{shard_name(index, shards)}"
            with ShardWriter(path) as writer:
                for batch in part.combine_chunks().to_batches():
                    writer.write(batch)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = json.dumps(list(splits))
    return artifact


def inputs(plant, folder):
    made = {"spine": [examples(folder / "spine", {"all": plant.spine})]}
    for name, splits in plant.tables.items():
        made[f"source_{name}"] = [examples(folder / name, splits)]
    return made


def run(plant, folder, made=None):
    outputs = {"examples": [standard_artifacts.Examples()], "report": [QualityReport()]}
    for key, (artifact,) in outputs.items():
        artifact.uri = str(folder / "out" / key)
    Executor(Executor.Context(beam_pipeline_args=BEAM, tmp_dir=str(folder / "tmp"))).Do(
        made or inputs(plant, folder),
        outputs,
        {"settings": json.dumps(plant.settings), "as_of": AS_OF, "code": ""},
    )
    report = json.loads((folder / "out" / "report" / "report.json").read_text())
    return outputs["examples"][0], report


def table_of(artifact, split):
    return read_table(split_files(artifact.uri, split))


def in_order(table):
    order = np.lexsort((table["observed_at"], table["machine_id"]))
    return table.take(pa.array(order)).combine_chunks()


@pytest.mark.parametrize("buckets", [1, 5])
def test_examples_are_those_of_the_plain_function(plant, tmp_path, monkeypatch, buckets):
    monkeypatch.setattr(shuffle, "count_buckets", lambda files: buckets)
    artifact, report = run(plant, tmp_path)
    assert artifact.split_names == '["train", "eval"]'
    expected = join(plant.spine, plant.tables, plant.parsed())
    times = np.asarray(expected["observed_at"])
    for split, part in report["splits"].items():
        names = sorted(path.name for path in (tmp_path / f"out/examples/Split-{split}").iterdir())
        assert names == [shard_name(i, buckets) for i in range(buckets)]
        found = in_order(table_of(artifact, split))
        first, last = (np.datetime64(part[k][:-1], "us").astype(int) for k in ("first", "last"))
        wanted = in_order(expected.filter(pa.array((times >= first) & (times <= last))))
        assert len(found) == len(wanted) == part["rows"] > 200
        assert sorted(found.column_names) == sorted(wanted.column_names)
        for name in wanted.column_names:
            column = wanted[name]
            if pa.types.is_floating(column.type):
                column = column.cast(pa.float32())
            assert found[name].to_pylist() == column.to_pylist(), name
    assert report["sources"]["telemetry/every_1h"]["matched_share"] == 1


def test_the_same_input_gives_the_same_rows_in_the_same_files(plant, tmp_path, monkeypatch):
    # Not the same bytes: a tf.Example is a map, and tfx_bsl's encoder writes it in no fixed order.
    monkeypatch.setattr(shuffle, "count_buckets", lambda files: 3)
    made = inputs(plant, tmp_path)
    contents = []
    for _ in range(2):
        run(plant, tmp_path, made)
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        tables = {path: read_table([str(path)]) for path in files if path.suffix == ".gz"}
        contents.append((files, tables, (tmp_path / "out/report/report.json").read_text()))
    assert contents[0] == contents[1]
    assert len(contents[0][1]) == 6
    assert not [path for path in contents[0][0] if path.suffix not in (".gz", ".json")]


def test_a_planted_leak_does_not_reach_the_examples(plant, tmp_path):
    """After each observation the label is told: as an event, a late record and a late window."""
    told = plant.spine.select(["machine_id", "observed_at", "fails"])
    times, labels = np.asarray(told["observed_at"]), np.asarray(told["fails"])
    plant.errors = pa.table(
        {
            "machine_id": pa.concat_arrays(told["machine_id"].chunks * 2),
            "raised_at": np.concatenate([times + 1, times]),
            "recorded_at": np.concatenate([times + 1, times + 1]),
            "code": [b"E"] * (2 * len(told)),
            "severity": np.tile(labels, 2) * 1000
            + np.tile([1, 2, 3], 2 * len(told))[: 2 * len(told)],
        }
    )
    plant.telemetry = pa.table(
        {
            "machine_id": told["machine_id"],
            "time": times,
            "known_at": times + 1,
            "temperature_mean_3h": labels.astype(np.float32),
        }
    )
    plant.settings["sources"]["errors"]["windows"][0]["size"] = "5h"
    plant.settings["sources"]["telemetry"]["tolerance"] = "7h"
    artifact, report = run(plant, tmp_path)
    assert report["sources"]["errors"]["matched"] == 0, "an event of the future was joined"
    for split in ("train", "eval"):
        table = table_of(artifact, split)
        assert set(table["errors_code_count_5h"].to_pylist()) == {0}
        assert table["errors_severity_max_5h"].null_count == len(table)
        # Six hours old at best: the window before, which tells nothing of this label.
        seen = np.asarray(table["telemetry_temperature_mean_3h"], float)
        assert 0.35 < np.mean(seen == np.asarray(table["fails"])) < 0.65
    # A microsecond later all of it would be known, and the copy is found and refused.
    plant.spine = plant.spine.set_column(1, "observed_at", pa.array(times + 1))
    with pytest.raises(DataError, match="'telemetry_temperature_mean_3h': it equals the label"):
        run(plant, tmp_path / "later")


def test_problems_arrive_whole_and_leave_no_report(plant, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "count_buckets", lambda files: 4)
    texts = pa.array([f"m{i}" for i in range(12)])
    plant.machines = plant.machines.set_column(0, "machine_id", texts)
    with pytest.raises(DataError) as caught:
        run(plant, tmp_path)
    assert caught.value.source == "machines"
    assert "expected a whole number, as observations.machine_id is" in str(caught.value)
    assert not (tmp_path / "out/report/report.json").exists()


def test_columns_that_only_some_shards_have(plant, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "count_buckets", lambda files: 4)
    machines = np.asarray(plant.errors["machine_id"])
    severity = pa.array(np.asarray(plant.errors["severity"]), mask=machines != 3)
    plant.errors = plant.errors.set_column(4, "severity", severity)
    made = inputs(plant, tmp_path)
    # Parted by machine, most shards have no severity at all.
    for index, path in enumerate(sorted((tmp_path / "errors/Split-all").iterdir())):
        with ShardWriter(str(path)) as writer:
            part = plant.errors.filter(pa.array((machines == 3) == bool(index)))
            writer.write(part.drop([] if index else ["severity"]).combine_chunks().to_batches()[0])
    artifact, _ = run(plant, tmp_path, made)
    table = table_of(artifact, "train")
    has = np.asarray(table["errors_severity_max_24h"].is_valid())
    assert set(np.asarray(table["machine_id"])[has]) == {3}
    assert set(table["errors_code_count_24h"].to_pylist()) > {0, 1}


def test_the_spec_has_an_input_a_source_and_runs_under_a_dag_runner(plant, tmp_path):
    from tfx.dsl.components.common import importer
    from tfx.orchestration import metadata

    made = inputs(plant, tmp_path)
    nodes = {
        key: importer.Importer(
            source_uri=artifacts[0].uri, artifact_type=standard_artifacts.Examples
        ).with_id(f"import-{key}")
        for key, artifacts in made.items()
    }
    joined = PointInTimeJoin(
        spine=nodes["spine"].outputs["result"],
        sources={name: nodes[f"source_{name}"].outputs["result"] for name in plant.tables},
        settings=json.dumps(plant.settings),
        as_of=AS_OF,
        code="1",
    )
    assert sorted(joined.inputs) == [
        "source_errors",
        "source_machines",
        "source_telemetry",
        "spine",
    ]
    local_dag_runner.LocalDagRunner().run(
        tfx_pipeline.Pipeline(
            pipeline_name="joined",
            pipeline_root=str(tmp_path / "root"),
            components=[*nodes.values(), joined],
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(tmp_path / "metadata.sqlite")
            ),
            beam_pipeline_args=BEAM,
        )
    )
    (folder,) = (tmp_path / "root/PointInTimeJoin/examples").iterdir()
    assert read_table(split_files(str(folder), "eval")).num_rows == 12 * 6 * 4


def test_two_components_with_different_sources_stand_side_by_side(plant):
    def examples_channel():
        return channel.Channel(type=standard_artifacts.Examples)

    one = copy.deepcopy(plant.settings)
    del one["sources"]["errors"], one["sources"]["telemetry"]
    for settings in (plant.settings, one):
        sources = {name: examples_channel() for name in settings["sources"]}
        made = PointInTimeJoin(examples_channel(), sources, json.dumps(settings), AS_OF)
        assert len(made.inputs) == 1 + len(sources)
        assert made.spec.exec_properties["settings"] == json.dumps(settings)
    with pytest.raises(ValueError, match=r"settings name the sources \['machines'\], channels"):
        PointInTimeJoin(examples_channel(), {}, json.dumps(one), AS_OF)


def test_an_input_without_splits_is_refused(plant, tmp_path):
    made = inputs(plant, tmp_path)
    (tmp_path / "empty").mkdir()
    made["source_errors"][0].uri = str(tmp_path / "empty")
    with pytest.raises(DataError, match="errors: Examples: it has no split"):
        run(plant, tmp_path, made)
