"""Batch scoring: the same answers as single predictions; reruns replace, breaks leave no trace."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from components.ingest.durations import MICROSECONDS, parse_instant
from components.ingest.errors import DataError
from serving.online.batch import prediction_table, score_range
from serving.online.client import Prediction, PredictionClient
from serving.online.errors import PredictionError
from serving.online.features import FeatureReader
from serving.online.scorers import model_scorer, server_scorer
from serving.online.sinks import parquet_sink, table_sink

pytestmark = pytest.mark.tfx

DAY = MICROSECONDS["d"]
MODEL = "plant-failures"
BEGIN, END = (parse_instant(t) for t in ("2025-01-20", "2025-01-24"))


@pytest.fixture(scope="module")
def reader(plant):
    return FeatureReader(plant.settings, plant.folder / "var/online")


@pytest.fixture(scope="module")
def score(model_folder):
    return model_scorer(model_folder / "7")


def run(reader, score, sink, begin=BEGIN, end=END, **options):
    return score_range(reader, score, sink, begin, end, model=MODEL, **options)


def test_in_process_server_and_single_predictions_agree(plant, reader, score, served, tmp_path):
    told = []
    with parquet_sink(tmp_path / "own.parquet", "observed_at", BEGIN, END) as sink:
        scored = run(
            reader, score, sink, slice_size=DAY, batch_rows=17, progress=lambda *x: told.append(x)
        )
    assert [share for share, _ in told] == [0.25, 0.5, 0.75, 1.0]
    assert scored.versions == {7: scored.rows}
    found = pq.read_table(tmp_path / "own.parquet")
    assert len(found) == scored.rows == told[-1][1] > 150
    assert found.column_names == [
        "model", "version", "machine_id", "observed_at", "classes", "probabilities",
    ]  # fmt: skip
    with PredictionClient(f"http://127.0.0.1:{served['rest']}", MODEL, timeout=60) as client:
        with parquet_sink(tmp_path / "served.parquet", "observed_at", BEGIN, END) as sink:
            run(reader, server_scorer(client), sink, slice_size=3 * DAY)
        order = [("machine_id", "ascending"), ("observed_at", "ascending")]
        served_rows = pq.read_table(tmp_path / "served.parquet").sort_by(order)
        assert served_rows == found.sort_by(order)
        for row in found.slice(0, None).to_pylist()[::23]:
            time = parse_instant(row["observed_at"].isoformat())
            single = client.predict(reader.at(row["machine_id"], time).table)
            assert single.version == 7
            assert single.outputs["probabilities"][0] == np.float32(row["probabilities"])
            assert single.outputs["classes"][0] == row["classes"]
    assert len(set(found["probabilities"].to_pylist())) > 100


def test_grpc_answers_as_rest_does(reader, served):
    features = reader.at(2, BEGIN + DAY).table
    with (
        PredictionClient(f"http://127.0.0.1:{served['rest']}", MODEL, timeout=60) as rest,
        PredictionClient(f"grpc://127.0.0.1:{served['grpc']}", MODEL, timeout=60) as rpc,
    ):
        one, other = rest.predict(features), rpc.predict(features)
    assert one.version == other.version == 7
    assert {n: v.tolist() for n, v in one.outputs.items()} == {
        n: v.tolist() for n, v in other.outputs.items()
    }


def test_a_rerun_replaces_its_stretch_of_a_file_and_keeps_the_rest(reader, score, tmp_path):
    file = tmp_path / "out/predictions.parquet"
    for begin, end in ((BEGIN, END), (BEGIN + DAY, END + DAY), (BEGIN + DAY, END + DAY)):
        with parquet_sink(file, "observed_at", begin, end) as sink:
            run(reader, score, sink, begin, end)
    found = pq.read_table(file)
    keys = list(zip(found["machine_id"].to_pylist(), found["observed_at"].to_pylist(), strict=True))
    with parquet_sink(tmp_path / "whole.parquet", "observed_at", BEGIN, END + DAY) as sink:
        whole = run(reader, score, sink, BEGIN, END + DAY)
    assert len(keys) == len(set(keys)) == whole.rows
    assert [path.name for path in file.parent.iterdir()] == ["predictions.parquet"]


def test_a_run_that_breaks_leaves_the_file_as_it_was(reader, score, tmp_path):
    file = tmp_path / "predictions.parquet"
    with parquet_sink(file, "observed_at", BEGIN, END) as sink:
        run(reader, score, sink)
    before = file.read_bytes()
    calls = []

    def breaks(table):
        calls.append(len(table))
        if len(calls) > 2:
            raise PredictionError("UNAVAILABLE", "gone")
        return score(table)

    with (
        pytest.raises(PredictionError),
        parquet_sink(file, "observed_at", BEGIN, END) as sink,
    ):
        run(reader, breaks, sink, batch_rows=20)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_other_columns_in_the_file_are_told(reader, score, tmp_path):
    file = tmp_path / "predictions.parquet"
    pq.write_table(pa.table({"observed_at": pa.array([1], pa.timestamp("us", "UTC"))}), file)
    with (
        pytest.raises(DataError, match="columns: it holds observed_at, and the new rows have"),
        parquet_sink(file, "observed_at", BEGIN, END) as sink,
    ):
        run(reader, score, sink)
    assert pq.read_table(file).num_rows == 1


def test_a_table_is_made_filled_and_replaced_by_stretch_and_model(reader, score, tmp_path):
    url = f"sqlite:///{tmp_path}/out.db"
    for begin, end in ((BEGIN, END), (BEGIN + DAY, END + DAY), (BEGIN + DAY, END + DAY)):
        with table_sink(url, "predictions", MODEL, "observed_at", begin, end) as sink:
            run(reader, score, sink, begin, end)
    with table_sink(url, "predictions", "other", "observed_at", BEGIN, END) as sink:
        score_range(reader, score, sink, BEGIN, BEGIN + DAY, model="other")
    with parquet_sink(tmp_path / "whole.parquet", "observed_at", BEGIN, END + DAY) as sink:
        run(reader, score, sink, BEGIN, END + DAY)
    wanted = pq.read_table(tmp_path / "whole.parquet").to_pylist()
    with sa.create_engine(url).connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT machine_id, observed_at, probabilities, version FROM predictions "
                f"WHERE model = '{MODEL}' ORDER BY machine_id, observed_at"
            )
        ).all()
    expected = sorted(
        (row["machine_id"], row["observed_at"].strftime("%Y-%m-%d %H:%M:%S.%f"),
         row["probabilities"], row["version"])
        for row in wanted
    )  # fmt: skip
    assert [tuple(row) for row in rows] == expected


def test_a_run_that_breaks_leaves_the_table_as_it_was(reader, score, tmp_path):
    url = f"sqlite:///{tmp_path}/out.db"

    def breaks(table):
        raise PredictionError("UNAVAILABLE", "gone")

    with table_sink(url, "predictions", MODEL, "observed_at", BEGIN, END) as sink:
        before = run(reader, score, sink).rows
    with (
        pytest.raises(PredictionError),
        table_sink(url, "predictions", MODEL, "observed_at", BEGIN, END) as sink,
    ):
        run(reader, breaks, sink)
    with sa.create_engine(url).connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM predictions")).scalar() == before


def test_a_database_that_cannot_be_written_is_told_without_its_password(tmp_path):
    url = f"sqlite:///{tmp_path}/nowhere/out.db"
    with (
        pytest.raises(DataError, match=r"table predictions: database sqlite.*cannot be written"),
        table_sink(url, "predictions", MODEL, "observed_at", BEGIN, END) as sink,
    ):
        sink.write(pa.table({"model": ["m"]}))


def test_classes_and_their_probabilities_become_lists(tmp_path):
    features = pa.table({"id": pa.array([b"a", b"b"]), "at": pa.array([BEGIN, BEGIN + 1])})
    outputs = {
        "probabilities": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32),
        "classes": np.array([b"yes", b"no"], object),
        "all_classes": np.array([[b"no", b"yes"]] * 2, object),
    }
    table = prediction_table(features, Prediction(3, outputs), "m", "id", "at")
    assert table["id"].to_pylist() == ["a", "b"]
    assert table["classes"].to_pylist() == ["yes", "no"]
    assert table["all_classes"].to_pylist() == [["no", "yes"]] * 2
    assert table["probabilities"].to_pylist() == [[0.25, 0.75], [0.5, 0.5]]
    url = f"sqlite:///{tmp_path}/out.db"
    with table_sink(url, "p", "m", "at", BEGIN, END) as sink:
        sink.write(table)
    with sa.create_engine(url).connect() as connection:
        row = connection.execute(sa.text("SELECT * FROM p")).mappings().first()
    assert json.loads(row["probabilities"]) == [0.25, 0.75]


def test_a_folder_without_a_model_is_told(tmp_path, model_folder):
    with pytest.raises(PredictionError, match=r"NOT_FOUND: .* holds no saved_model\.pb"):
        model_scorer(tmp_path)
    link = tmp_path / "newest"
    link.symlink_to(model_folder / "7")
    with pytest.raises(PredictionError, match="its name is no version number"):
        model_scorer(link)
