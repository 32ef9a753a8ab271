"""Shards: whole, named at once, and never doubled by bundles that run again."""

import json
import shutil

import pyarrow as pa
import pytest

from components.ingest import sql
from components.ingest.errors import DataError
from components.ingest.examples import read_table, shard_name
from components.sql_example_gen import stages

TIMES = sql.Times(0, 100, 100)


def batch_of(*ids: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": list(ids), "at": [i * 10 for i in ids]})


@pytest.fixture
def folders(tmp_path):
    for name in ("work", "Split-all"):
        (tmp_path / name).mkdir()
    return str(tmp_path / "work"), tmp_path / "Split-all"


def run_bundle(writer: stages.WriteShards, *elements) -> list[dict]:
    writer.start_bundle()
    for element in elements:
        writer.process(element)
    return [value.value[1] for value in writer.finish_bundle()]


def commit(folders, count: int, pieces: list[dict]) -> None:
    work, folder = folders
    stages.CommitShards(str(folder), work, count).process((None, pieces))


def ids_in(folder, index: int, count: int) -> list[int]:
    return read_table([str(folder / shard_name(index, count))])["id"].to_pylist()


def test_a_bundle_that_failed_leaves_no_rows(folders):
    work, folder = folders
    writer = stages.WriteShards("readings", "at", TIMES, work)
    writer.start_bundle()
    writer.process((0, 1, 0, 0.0, batch_of(1, 2)))
    again = stages.WriteShards("readings", "at", TIMES, work)
    pieces = run_bundle(again, (0, 1, 0, 0.0, batch_of(1, 2)), (0, 1, 2, 0.0, batch_of(3)))
    commit(folders, 1, pieces)
    assert ids_in(folder, 0, 1) == [1, 2, 3]
    assert [path.name for path in folder.iterdir()] == [shard_name(0, 1)]


def test_the_same_instance_may_run_a_bundle_again(folders):
    work, folder = folders
    writer = stages.WriteShards("readings", "at", TIMES, work)
    writer.start_bundle()
    writer.process((0, 1, 0, 0.0, batch_of(1, 2)))
    pieces = run_bundle(writer, (0, 1, 0, 0.0, batch_of(1, 2)))
    commit(folders, 1, pieces)
    assert ids_in(folder, 0, 1) == [1, 2]


def test_of_two_tries_that_both_end_one_counts(folders):
    work, folder = folders
    writer = stages.WriteShards("readings", "at", TIMES, work)
    run_bundle(writer, (0, 1, 0, 0.0, batch_of(1, 2)))
    pieces = run_bundle(writer, (0, 1, 0, 0.0, batch_of(1, 2)))
    commit(folders, 1, pieces)
    assert ids_in(folder, 0, 1) == [1, 2]


def test_the_commit_may_run_again_after_any_rename(folders):
    work, folder = folders
    pieces = run_bundle(
        stages.WriteShards("readings", "at", TIMES, work),
        (0, 1, 0, 0.0, batch_of(1)),
        (1, 1, 0, 0.0, batch_of(2)),
    )
    shutil.move(pieces[0]["path"], folder / shard_name(0, 2))
    commit(folders, 2, pieces)
    commit(folders, 2, pieces)
    assert [ids_in(folder, i, 2) for i in range(2)] == [[1], [2]]


def test_a_part_spread_over_bundles_is_one_shard_in_order(folders):
    work, folder = folders
    writer = stages.WriteShards("readings", "at", TIMES, work)
    late = run_bundle(writer, (0, 1, 2, 0.0, batch_of(3, 4)))
    early = run_bundle(writer, (0, 1, 0, 0.0, batch_of(1, 2)))
    commit(folders, 1, late + early)
    assert ids_in(folder, 0, 1) == [1, 2, 3, 4]


def test_an_empty_part_is_an_empty_shard(folders):
    work, folder = folders
    pieces = run_bundle(
        stages.WriteShards("readings", "at", TIMES, work), (0, 1, 0, 0.0, batch_of(1).slice(0, 0))
    )
    commit(folders, 1, pieces)
    assert read_table([str(folder / shard_name(0, 1))]).num_rows == 0
    assert pieces[0]["rows"] == 0 and pieces[0]["first"] is None


def test_pieces_tell_of_their_rows(folders):
    work, _ = folders
    writer = stages.WriteShards("readings", "at", TIMES, work)
    pieces = run_bundle(writer, (0, 1, 0, 0.0, batch_of(0, 3)), (0, 1, 2, 0.0, batch_of(12)))
    told = {key: pieces[0][key] for key in ("index", "rows", "batches", "first", "last", "outside")}
    assert told == {"index": 0, "rows": 3, "batches": 2, "first": 0, "last": 120, "outside": 1}
    commit(folders, 1, pieces)
    assert stages.read_pieces(work) == json.loads(json.dumps(pieces))


def test_reading_leaves_its_error_for_the_executor(folders, database, make_source):
    work, _ = folders
    at = ["2025-04-17 00:00:00"] * 3 + ["soon"]
    url = database("CREATE TABLE readings (id, at)", rows=[(i, text) for i, text in enumerate(at)])
    source = make_source(url=url, batch_rows=2)
    plan = sql.plan("readings", source, TIMES)
    reader = stages.ReadPartition("readings", source, TIMES, plan.columns, work)
    batches = reader.process((0, plan.partitions[0]))
    assert [next(batches)[-1].num_rows for _ in range(2)] == [0, 2]
    with pytest.raises(DataError):
        next(batches)
    told = stages.read_error(work)
    assert told is not None and told.value == "soon"
    assert "column 'at', row 4 (id 3) is 'soon'" in str(told)


def test_stages_do_not_import_tfx():
    import subprocess
    import sys

    code = (
        "import sys, components.sql_example_gen.stages;"
        "print([m for m in ('tfx', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
