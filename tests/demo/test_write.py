"""make_plant: same options, same bytes; nothing foreign is touched; memory is bounded."""

import datetime
import decimal
import hashlib
import pathlib
import sqlite3
import subprocess
import sys
import tracemalloc
import uuid

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import demo.options
import demo.write
from demo.write import PlantError, make_plant

TINY = {"machines": 6, "days": 4}


def digests(directory: pathlib.Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    make_plant(tmp_path / "a", seed=1, **TINY)
    make_plant(tmp_path / "b", seed=1, **TINY)
    make_plant(tmp_path / "c", seed=2, **TINY)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a)


def test_a_rerun_does_nothing_and_other_options_replace(tmp_path):
    place = tmp_path / "plant"
    first = make_plant(place, **TINY)
    before = digests(place)
    stamp = (place / "plant.db").stat().st_mtime_ns
    again = make_plant(place, **TINY)
    assert (first.written, again.written) == (True, False)
    assert (again.rows, again.faults) == (first.rows, first.faults)
    assert (place / "plant.db").stat().st_mtime_ns == stamp
    other = make_plant(place, seed=8, **TINY)
    assert other.written
    assert digests(place) != before
    assert [path.name for path in tmp_path.iterdir()] == ["plant"]


def test_a_damaged_plant_is_made_anew(tmp_path):
    place = tmp_path / "plant"
    make_plant(place, **TINY)
    before = digests(place)
    with sqlite3.connect(place / "plant.db") as connection:
        connection.execute("DROP TABLE failures")
    assert make_plant(place, **TINY).written
    assert digests(place) == before


def test_nothing_half_done_is_seen_when_writing_dies(tmp_path, monkeypatch):
    place = tmp_path / "plant"
    make_plant(place, **TINY)
    before = digests(place)

    def die(*args):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(demo.write.GatewayWriter, "write", die)
        with pytest.raises(OSError, match="no space"):
            make_plant(place, seed=8, **TINY)
        with pytest.raises(OSError, match="no space"):
            make_plant(tmp_path / "fresh", **TINY)
    assert digests(place) == before
    assert not (tmp_path / "fresh").exists()
    assert make_plant(tmp_path / "fresh", **TINY).written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "plant"]


def test_a_foreign_directory_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PlantError, match=r"thesis\.txt"):
        make_plant(tmp_path, **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_own_database_is_filled_and_foreign_tables_are_not_dropped(tmp_path):
    url = f"sqlite:///{tmp_path / 'own.db'}"
    summary = make_plant(tmp_path / "plant", database_url=url, **TINY)
    assert summary.database == url
    assert not (tmp_path / "plant" / "plant.db").exists()
    assert not make_plant(tmp_path / "plant", database_url=url, **TINY).written

    with sqlite3.connect(tmp_path / "theirs.db") as connection:
        connection.execute("CREATE TABLE machines (name TEXT)")
        connection.execute("INSERT INTO machines VALUES ('mine')")
    theirs = f"sqlite:///{tmp_path / 'theirs.db'}"
    with pytest.raises(PlantError, match="already has the tables machines"):
        make_plant(tmp_path / "plant", database_url=theirs, **TINY)
    with sqlite3.connect(tmp_path / "theirs.db") as connection:
        assert connection.execute("SELECT name FROM machines").fetchall() == [("mine",)]


def test_a_dying_refill_leaves_an_own_database_as_it_was(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'own.db'}"
    make_plant(tmp_path / "plant", database_url=url, **TINY)
    count = "SELECT count(*), min(machine_id) FROM machines"
    with sqlite3.connect(tmp_path / "own.db") as connection:
        before = connection.execute(count).fetchall()

    def die(*args):
        raise OSError("gone")

    monkeypatch.setattr(demo.write.GatewayWriter, "write", die)
    with pytest.raises(OSError, match="gone"):
        make_plant(tmp_path / "plant", seed=9, machines=9, days=4, database_url=url)
    with sqlite3.connect(tmp_path / "own.db") as connection:
        assert connection.execute(count).fetchall() == before


def test_readings_scale_the_files_and_not_the_machines(tmp_path, plant):
    small = make_plant(tmp_path / "small", readings=2_000, **TINY)
    large = make_plant(tmp_path / "large", readings=20_000, **TINY)
    assert small.rows == large.rows
    assert small.readings == pytest.approx(2_000, rel=0.1)
    assert large.readings == pytest.approx(20_000, rel=0.1)


def test_no_reading_is_beyond_the_end_where_the_interval_does_not_divide_the_days(tmp_path):
    made = make_plant(tmp_path / "odd", machines=30, days=2, readings=30 * 100 + 20)
    truth = pq.read_table(tmp_path / "odd/truth/readings", columns=["time"])
    assert pc.max(truth["time"]).as_py() < datetime.datetime.fromisoformat(
        made.end.replace("Z", "+00:00")
    )


def test_memory_is_bounded_by_the_chunk_whatever_the_readings(tmp_path, monkeypatch):
    monkeypatch.setattr(demo.options, "CHUNK_ROWS", 2_000)
    peaks, files = [], []
    for readings in (20_000, 160_000):
        tracemalloc.start()
        summary = make_plant(tmp_path / str(readings), readings=readings, machines=5, days=4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        files.append(summary.files)
    assert files[1] > 6 * files[0]
    # Readings that wait for an outage's end are held too: some growth, nowhere near eightfold.
    assert peaks[1] < 1.7 * peaks[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"machines": 0}, "machines is 0: expected 1 to 20000"),
        ({"days": 0}, "days is 0: expected 1 to 3650"),
        ({"seed": -1}, "seed is -1: expected 0 or more"),
        ({"readings": 10}, "readings is 10: 50 machines over 120 days are read between 24000"),
        ({"readings": 10**10}, "every second"),
    ],
)
def test_options_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make_plant(tmp_path / "plant", **options)
    assert not (tmp_path / "plant").exists()


def test_one_machine_is_a_plant(tmp_path):
    summary = make_plant(tmp_path / "plant", machines=1, days=2)
    assert summary.rows["machines"] == 1
    assert summary.files == 1


def test_progress_rises_to_one(tmp_path):
    shares = []
    make_plant(tmp_path / "plant", progress=lambda share, what: shares.append(share), **TINY)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 5


def test_passwords_are_not_shown(tmp_path):
    url = f"sqlite://me:secret@/{tmp_path / 'own.db'}"
    with pytest.raises(Exception, match="Invalid SQLite URL") as raised:
        make_plant(tmp_path / "plant", database_url=url, **TINY)
    assert "secret" not in str(raised.value)


def test_no_import_of_ours_nor_of_tensorflow():
    code = (
        "import sys, demo.write; "
        "ours = {'components', 'pipeline', 'trainer', 'serving', 'tensorflow', 'tfx', 'pandas'}; "
        "sys.exit(str(ours & set(sys.modules)) if ours & set(sys.modules) else 0)"
    )
    root = pathlib.Path(demo.write.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_tables_and_types(plant):
    engine = sa.create_engine(plant.summary.database)
    from demo import tables

    with engine.connect() as connection:
        machine = connection.execute(sa.select(tables.MACHINES)).mappings().first()
        kinds = {
            "serial": uuid.UUID,
            "installed_on": datetime.date,
            "age_years": float,
            "purchase_cost": decimal.Decimal,
            "critical": bool,
            "configuration": dict,
            "model": str,
        }
        for name, kind in kinds.items():
            assert isinstance(machine[name], kind), name
        for table, count in plant.summary.rows.items():
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar() == count
        for column in ("machines.note", "work_orders.technician", "observations.planned_load"):
            table, name = column.split(".")
            text = f"SELECT sum({name} IS NULL), sum({name} IS NOT NULL) FROM {table}"
            nulls, others = connection.execute(sa.text(text)).one()
            assert nulls > 0 and others > 0, column
        late = "SELECT avg(recorded_at > datetime(raised_at, '+5 minutes')) FROM errors"
        assert 0.03 < connection.execute(sa.text(late)).scalar() < 0.3
        early = "SELECT count(*) FROM errors WHERE recorded_at < raised_at"
        assert connection.execute(sa.text(early)).scalar() == 0
    engine.dispose()


def test_times_compare_as_texts_in_sqlite(plant):
    path = sa.make_url(plant.summary.database).database
    begin = datetime.datetime(2025, 1, 5)
    with sqlite3.connect(path) as connection:
        query = "SELECT min(observed_at) FROM observations WHERE observed_at >= ?"
        for bound in ("2025-01-05 00:00:00", "2025-01-05 00:00:00.000000"):
            (found,) = connection.execute(query, [bound]).fetchone()
            assert datetime.datetime.fromisoformat(found) == begin
        query = "SELECT max(observed_at) FROM observations WHERE observed_at < ?"
        for bound in ("2025-01-05 00:00:00", "2025-01-05 00:00:00.000000"):
            (found,) = connection.execute(query, [bound]).fetchone()
            assert datetime.datetime.fromisoformat(found) == begin - datetime.timedelta(hours=3)
