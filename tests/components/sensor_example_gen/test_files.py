"""Finding, cutting and parsing files; what is told of bad ones."""

import gzip
import os
import pathlib
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest.errors import DataError
from components.ingest.sensor import files as sensor_files
from components.ingest.sensor import reading as sensor_reading
from components.ingest.sensor import text as sensor_text
from components.ingest.sensor.features import sensor_windows
from components.ingest.sensor.files import cut, find_files, watermark, whole_files
from components.ingest.sensor.preview import preview

HEADER = "machine,ts,temperature,pressure\n"
AT = "2025-03-01T06:00:00Z"


def line(i, temperature="20.5"):
    return f"m{i % 5},2025-03-01T06:{i // 60 % 60:02d}:{i % 60:02d}Z,{temperature},{i}\n"


def read_all(plain, path, part_bytes, **changes):
    source = plain.make_source(path, **changes)
    rows = [
        rows
        for whole in whole_files("t", source)
        for part in cut("t", whole, part_bytes)
        for rows in sensor_reading.read_part("t", source, part)
    ]
    lines = np.concatenate([r.lines for r in rows])
    return lines, rows


def test_globs_cross_folders_and_give_each_file_once(plain, tmp_path):
    for name in ("b/2.jsonl", "a/1.jsonl", "a/c/3.jsonl", "a/note.txt", "a/.hidden.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    source = plain.make_source([f"{tmp_path}/**/*.jsonl", f"{tmp_path}/a/*.jsonl"])
    found = [os.path.relpath(path, tmp_path) for path in find_files("t", source)]
    assert found == ["a/1.jsonl", "a/c/3.jsonl", "b/2.jsonl"]


def test_no_file_matches(plain, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "telemetry.csv").write_text("")
    source = plain.make_source(tmp_path / "data" / "telemetry" / "*.jsonl")
    with pytest.raises(DataError) as error:
        find_files("telemetry", source)
    assert str(error.value) == (
        f"telemetry: path is '{tmp_path}/data/telemetry/*.jsonl': no file matches. The nearest "
        f"folder that exists is {tmp_path}/data, which holds telemetry.csv. Mend "
        "sources.telemetry.path or put the files there."
    )


def test_an_ending_that_tells_nothing(plain, tmp_path):
    (tmp_path / "a.dat").write_text("")
    with pytest.raises(DataError, match="its ending tells no format: expected one of"):
        whole_files("t", plain.make_source(tmp_path / "*"))
    assert whole_files("t", plain.make_source(tmp_path / "*", format="csv"))[0].format == "csv"


def test_the_watermark_changes_with_the_files(plain, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    source = plain.make_source(tmp_path / "*.jsonl")
    first = watermark(source)
    assert watermark(source) == first
    os.utime(path, ns=(1, 2))
    second = watermark(source)
    (tmp_path / "b.jsonl").write_text("")
    assert len({first, second, watermark(source)}) == 3


@pytest.mark.parametrize("part_bytes", [64, 1000, 1 << 20])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_parts_of_a_file_hold_each_line_once(plain, tmp_path, part_bytes, form):
    path = tmp_path / f"a.{form}"
    if form == "csv":
        path.write_text(HEADER + "".join(line(i) for i in range(200)))
        first = 2
    else:
        plain.write_jsonl(path, [{"machine": i, "ts": AT, "temperature": i} for i in range(200)])
        first = 1
    lines, rows = read_all(plain, path, part_bytes)
    assert lines.tolist() == list(range(first, first + 200))
    key = "pressure" if form == "csv" else "temperature"
    assert np.concatenate([r.batch[key].to_numpy() for r in rows]).tolist() == list(range(200))


def test_parts_of_a_parquet_file(plain, tmp_path):
    table = pa.table({"machine": np.arange(100), "ts": [AT] * 100, "temperature": np.ones(100)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=9)
    lines, rows = read_all(plain, tmp_path / "*", 500)
    assert lines.tolist() == list(range(1, 101))
    assert np.concatenate([r.batch["machine"].to_numpy() for r in rows]).tolist() == list(
        range(100)
    )


class Touches:
    """Unpickled, it makes a file: what a hostile column type would do instead."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_code_in_a_parquet_file_is_not_run(plain, tmp_path):
    """CVE-2023-47248: by itself, Arrow 10 unpickles a column's type."""
    ran = tmp_path / "ran"
    hostile = pa.field(
        "temperature",
        pa.float64(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(Touches(ran)),
        },
    )
    schema = pa.schema([("machine", pa.int64()), ("ts", pa.string()), hostile])
    table = pa.table([[1], [AT], [1.0]], schema=schema)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: .*pickled Python code, which is not run"):
        read_all(plain, tmp_path / "*.parquet", 500)
    assert not ran.exists()


def test_broken_csv_lines_are_told_with_their_numbers(plain, tmp_path):
    lines = [line(i) for i in range(3000)]
    lines[10] = "m1,2025-03-01T06:00:00Z,1\n"
    lines[20] = "m1,2025-03-01T06:00:00Z,1,2,3\n"
    lines[30] = "\n"
    lines[40] = line(40, "hot")
    lines[1500] = 'm1,"2025-03-01T06:00:00Z,1,2\n'
    lines[1510] = '"m1",2025-03-01T06:00:00Z,"1",2\n'
    text = (HEADER + "".join(lines)).encode()
    text = text.replace(lines[50].encode(), b"m\xff,2025-03-01T06:00:50Z,1,2\n")
    (tmp_path / "a.csv").write_bytes(text)
    result = sensor_windows("t", plain.make_source(tmp_path / "a.csv"), plain.begin, plain.end)
    whole = [row for row in result.quarantine.to_pylist() if row["reason"] != "duplicate"]
    found = sorted((r["line"], r["reason"], r["value"], r["readings"]) for r in whole)
    assert found == [
        (12, "malformed", "m1,2025-03-01T06:00:00Z,1", 2),
        (22, "malformed", "m1,2025-03-01T06:00:00Z,1,2,3", 2),
        (42, "bad_value", "hot", 1),
        (52, "malformed", "m�,2025-03-01T06:00:50Z,1,2", 2),
        (1502, "malformed", 'm1,"2025-03-01T06:00:00Z,1,2', 2),
    ]
    assert result.report["readings"]["read"] == 2 * 2999
    plain.check_identity(result)


def test_broken_json_lines_cost_only_themselves(plain, tmp_path):
    lines = [
        f'{{"machine": {i % 7}, "ts": "{AT[:14]}{i // 60:02d}:{i % 60:02d}Z", '
        f'"temperature": {i}, "pressure": 1}}'
        for i in range(3000)
    ]
    bad = {5: "{", 6: "", 700: lines[700][:-5], 701: lines[701] * 2, 702: '"text"', 2999: "\x00"}
    odd = {1000: lines[1000].replace("1000", '"1000"'), 1001: lines[1001].replace("1001", "true")}
    for place, text in (bad | odd).items():
        lines[place] = text
    text = (
        "\n".join(lines).encode().replace(b'"temperature": 9,', b'"x": "\xff", "temperature": 9,')
    )
    (tmp_path / "a.jsonl").write_bytes(text)
    result = sensor_windows("t", plain.make_source(tmp_path / "a.jsonl"), plain.begin, plain.end)
    malformed = [r["line"] for r in result.quarantine.to_pylist() if r["reason"] == "malformed"]
    assert sorted(malformed) == [6, 10, 701, 702, 703, 3000]
    reasons = result.report["rejected"]
    assert reasons["malformed"]["readings"] == 12
    assert set(reasons) == {"malformed", "bad_value"} or set(reasons) == {"malformed"}
    assert result.report["readings"]["read"] == 2 * 2999
    plain.check_identity(result)


def test_more_rows_than_arrow_takes_at_a_time(plain, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"machine":1}\n' * 130_000)
    lines, rows = read_all(plain, path, 1 << 30, batch_rows=10_000_000)
    assert lines.tolist() == list(range(1, 130_001))
    assert all(r.batch.schema == rows[0].batch.schema for r in rows)


def test_a_quoted_line_end_is_no_csv_of_ours(plain, tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + line(1) + 'm1,2025-03-01T06:00:00Z,"1\n",2\n')
    result = sensor_windows("t", plain.make_source(tmp_path / "a.csv"), plain.begin, plain.end)
    assert plain.quarantined(result, "line", "reason") == [(3, "malformed"), (4, "malformed")]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_delimiters_and_byte_order_marks(plain, tmp_path, delimiter):
    text = (HEADER + line(1)).replace(",", delimiter).replace("\n", "\r\n")
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    result = sensor_windows("t", plain.make_source(tmp_path / "a.csv"), plain.begin, plain.end)
    assert result.report["readings"]["used"] == 2


@pytest.mark.parametrize("form", ["jsonl.gz", "parquet"])
def test_a_file_that_breaks_off(plain, tmp_path, form):
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"machine": range(1000)}), path)
    else:
        random = np.random.default_rng(1).random(20_000)
        path.write_bytes(
            gzip.compress(b"".join(b'{"machine":1,"temperature":%f}\n' % x for x in random))
        )
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError) as error:
        read_all(plain, path, 1 << 20)
    assert str(error.value).startswith(f"t: {path}: cannot be read: ")
    assert str(error.value).endswith("Bring the whole file again or move it away.")


def test_a_line_without_end(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(sensor_reading, "_LONGEST_LINE", 1 << 20)
    (tmp_path / "a.jsonl").write_bytes(b"x" * (3 << 20))
    with pytest.raises(DataError, match=r"a.jsonl: a line is longer than 1 MiB. Is the file jsonl"):
        read_all(plain, tmp_path / "a.jsonl", 1 << 30)


def test_memory_is_bounded_by_a_block(plain, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "".join(line(i) for i in range(40_000)))
    _, rows = read_all(plain, path, 1 << 30, batch_rows=1000)
    assert max(r.batch.num_rows for r in rows) < 5000


def test_preview_shows_columns_types_and_what_lacks(plain, tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + line(1) + line(2))
    (tmp_path / "b.csv").write_text("machine,ts,temperature\n" + f"m1,{AT},3\n")
    found = preview(plain.make_source(tmp_path / "*.csv"), rows=1)
    assert found.columns == {
        "machine": "string",
        "ts": "timestamp[s, tz=UTC]",
        "temperature": "double",
        "pressure": "int64",
    }
    assert found.rows.num_rows == 1 and found.files == 2 and found.entity == "text"
    assert found.lacking == {"pressure": [str(tmp_path / "b.csv")]}


def test_a_column_that_no_file_has(plain, tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + line(1))
    source = plain.make_source(tmp_path / "*.csv", channels={"temprature": {}})
    with pytest.raises(DataError) as error:
        preview(source, name="telemetry")
    assert str(error.value) == (
        "telemetry: column 'temprature': no file has it. Did you mean 'temperature'? "
        f"{tmp_path}/a.csv has machine, ts, temperature, pressure. Mend the name in "
        "sources.telemetry."
    )


def test_a_channel_that_only_later_lines_have(plain, tmp_path):
    rows = [{"machine": 1, "ts": plain.iso(plain.begin + i * 10**6)} for i in range(4000)]
    later = rows[-1] | {"temperature": 1.0, "pressure": 3.0}
    plain.write_jsonl(tmp_path / "a.jsonl", [*rows, later])
    result = sensor_windows("t", plain.make_source(tmp_path / "*.jsonl"), plain.begin, plain.end)
    assert result.report["channels"]["pressure"]["used"] == 1
    path = str(tmp_path / "a.jsonl")
    assert result.report["files_without"]["pressure"] == {"files": 1, "first": path}


def test_a_channel_that_no_line_has(plain, tmp_path):
    rows = [{"machine": 1, "ts": plain.iso(plain.begin + i * 10**6)} for i in range(4000)]
    plain.write_jsonl(tmp_path / "a.jsonl", rows)
    source = plain.make_source(tmp_path / "*.jsonl")
    with pytest.raises(DataError, match=r"column 'temperature': no file has it\. .* has machine"):
        sensor_windows("t", source, plain.begin, plain.end)


def test_two_channels_of_a_long_file_need_two_names(plain):
    with pytest.raises(ValueError, match="channels 'a' and 'b' are both read from 'T1'"):
        plain.make_source(
            "x",
            layout="long",
            channel="what",
            value="v",
            channels={"a": {"column": "T1"}, "b": {"column": "T1"}},
        )


def test_times_that_are_numbers_need_a_unit(plain, tmp_path):
    plain.write_jsonl(tmp_path / "a.jsonl", [{"machine": 1, "ts": 1740787200, "temperature": 1}])
    source = plain.make_source(tmp_path / "*.jsonl", channels={"temperature": {}})
    with pytest.raises(DataError) as error:
        preview(source, name="telemetry")
    assert str(error.value) == (
        f"telemetry: {tmp_path}/a.jsonl, column 'ts' is 1740787200: a number, and nothing says "
        "what it counts. Set sources.telemetry.time.unit to s, ms, us or ns."
    )


def test_empty_files_hold_no_readings(plain, tmp_path):
    for name in ("a.jsonl", "b.csv"):
        (tmp_path / name).write_text("")
    (tmp_path / "c.csv").write_text(HEADER + line(1))
    result = sensor_windows("t", plain.make_source(tmp_path / "*.*"), plain.begin, plain.end)
    assert result.report["readings"]["read"] == 2 and result.report["files"] == 3


def test_lines_are_counted_without_a_last_line_end():
    assert [sensor_text.count_lines(b) for b in (b"", b"a", b"a\n", b"a\nb")] == [0, 1, 1, 2]
    assert sensor_files.PART_BYTES > 1 << 20
