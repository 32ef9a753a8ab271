"""Features at (E, T) are those of training, to the bit."""

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.durations import MICROSECONDS, parse_instant
from components.ingest.errors import DataError
from pipeline.settings import Settings
from serving.online.features import FeatureReader

pytestmark = pytest.mark.tfx

HOUR = MICROSECONDS["h"]


@pytest.fixture(scope="module")
def reader(plant) -> FeatureReader:
    return FeatureReader(plant.settings, plant.folder / "var/online")


def bits(column):
    """A column's values so that -0.0, 0.0 and NaN are told apart, and where it has none."""
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_floating(array.type):
        array = array.cast(pa.float32())
        values = array.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint32)
        return array.is_valid().to_pylist(), values.tolist()
    return array.to_pylist()


def assert_same(found, wanted):
    assert set(found.column_names) == set(wanted.column_names)
    for name in sorted(wanted.column_names):
        assert found[name].type == wanted[name].type or wanted[name].null_count == len(wanted), name
        assert bits(found[name]) == bits(wanted[name]), name


def test_each_observation_alone_has_training_s_features(plant, trained, reader):
    """A sample over all machines and times, with its hard cases sure to be in."""
    label = plant.settings.label.name
    rows = hard_rows(trained) | set(range(0, len(trained), 29))
    assert len(rows) > 60
    found = []
    for row in sorted(rows):
        entity, time = (trained[c][row].as_py() for c in ("machine_id", "observed_at"))
        found.append(reader.at(entity, time, plant.window.end).table)
    wanted = trained.take(pa.array(sorted(rows))).drop([label])
    assert_same(pa.concat_tables(found), wanted)


def hard_rows(trained):
    """Rows without telemetry, with missing readings, of the gateway whose clock is wrong."""
    missing = trained["telemetry_temperature_missing_3h"].to_pylist()
    gone = [row for row, share in enumerate(missing) if share is None]
    some = [row for row, share in enumerate(missing) if share is not None and 0 < share < 1]
    silent = [row for row, share in enumerate(missing) if share == 1]
    wrong_clock = [row for row, e in enumerate(trained["machine_id"].to_pylist()) if e == 3]
    assert some and silent and wrong_clock
    return {*gone[:15], *some[:20], *silent[:15], *wrong_clock[::20]}


def test_many_at_once_have_training_s_features(plant, trained, reader):
    label = plant.settings.label.name
    asked = list(
        zip(trained["machine_id"].to_pylist(), trained["observed_at"].to_pylist(), strict=True)
    )
    found = reader.at_many(asked, plant.window.end)
    assert_same(found.table, trained.drop([label]))
    assert (found.spine_times == np.asarray(trained["observed_at"])).all()


def test_a_stretch_of_time_has_training_s_features(plant, trained, reader):
    begin, end = (parse_instant(t) for t in ("2025-01-20", "2025-01-25"))
    times = np.asarray(trained["observed_at"])
    wanted = trained.filter(pa.array((times >= begin) & (times < end)))
    order = [("machine_id", "ascending"), ("observed_at", "ascending")]
    found = reader.between(begin, end, plant.window.end)
    assert len(found.table) > 200
    assert_same(found.table.sort_by(order), wanted.sort_by(order).drop([plant.settings.label.name]))


def test_late_records_count_only_once_they_are_known(plant, trained, reader):
    """Errors recorded late are in the database at T, but were not known then."""
    import sqlite3

    with sqlite3.connect(plant.folder / "var/demo/plant.db") as database:
        late = database.execute(
            "SELECT machine_id, raised_at, recorded_at FROM errors "
            "WHERE julianday(recorded_at) - julianday(raised_at) > 2.0 / 24 "
            "AND raised_at > '2025-01-10' AND recorded_at < '2025-02-03' LIMIT 12"
        ).fetchall()
    assert late
    counts = "errors_error_id_count_24h"
    for entity, raised, recorded in late:
        known = parse_instant(recorded)
        before = reader.at(entity, known - 1).table[counts][0].as_py()
        after = reader.at(entity, known).table[counts][0].as_py()
        # More than one record may become known, or an old one leave the window, at that instant.
        assert after >= before + 1 or parse_instant(raised) <= known - 24 * HOUR


def test_between_observations_the_newest_row_gives_the_spine_s_columns(plant, trained, reader):
    entity, time = trained["machine_id"][50].as_py(), trained["observed_at"][50].as_py()
    at = reader.at(entity, time)
    later = reader.at(entity, time + HOUR // 2)
    assert later.spine_times.tolist() == [time]
    assert later.table["observed_at"].to_pylist() == [time + HOUR // 2]
    assert later.table["planned_load"] == at.table["planned_load"]
    assert later.newest["telemetry/every_1h"][0] <= time + HOUR // 2
    ages = [t.table["maintenance_bearing_age_90d"][0].as_py() for t in (at, later)]
    if ages[0] is not None:
        assert ages[1] == pytest.approx(ages[0] + 0.5, abs=1e-3)


def test_an_index_on_disk_gives_the_same_features(plant, reader):
    time = parse_instant("2025-01-22T09:00:00Z")
    first = reader.at(2, time)
    again = FeatureReader(plant.settings, plant.folder / "var/online").at(2, time)
    assert again.table == first.table
    assert list((plant.folder / "var/online").glob("telemetry-*.json"))


def test_an_unknown_entity_is_told(reader):
    with pytest.raises(DataError, match=r"column 'machine_id' is 99: no row of the spine has"):
        reader.at(99, parse_instant("2025-01-22"))
    with pytest.raises(DataError, match="expected a whole number"):
        reader.at("pump", parse_instant("2025-01-22"))


@pytest.mark.parametrize("time", ["2024-12-24", "2025-06-01"])
def test_a_time_outside_the_data_is_told(reader, time):
    with pytest.raises(DataError, match=r"outside the data: rows are from 2025-01-01T.* to 2025-0"):
        reader.at(1, parse_instant(time))


def test_an_unreachable_source_is_told(plant):
    changed = plant.settings.model_dump(mode="json", by_alias=True)
    changed["sources"]["errors"]["url"] = f"sqlite:///{plant.folder}/gone.db"
    with pytest.raises(DataError, match=r"errors: database .*gone\.db: there is no file"):
        FeatureReader(Settings.model_validate(changed)).at(1, parse_instant("2025-01-22"))
    changed = plant.settings.model_dump(mode="json", by_alias=True)
    changed["sources"]["telemetry"]["path"] = [f"{plant.folder}/nothing/*.csv"]
    with pytest.raises(DataError, match=r"telemetry: path .*no file matches"):
        FeatureReader(Settings.model_validate(changed)).at(1, parse_instant("2025-01-22"))
