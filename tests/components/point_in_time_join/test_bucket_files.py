"""What is sent to a bucket arrives, stream by stream, and is not held in memory."""

import pyarrow as pa

from components.point_in_time_join.bucket_files import BucketFiles, read_sent


def batch(size: int, **metadata: str) -> pa.RecordBatch:
    rows = pa.record_batch([pa.array(range(size))], names=["a"])
    return rows.replace_schema_metadata(metadata)


def test_streams_of_different_columns_arrive_in_their_order_with_metadata(tmp_path):
    files = BucketFiles(str(tmp_path))
    other = pa.record_batch([pa.array([["x"], None])], names=["b"])
    files.write(3, batch(5, source="one"))
    files.write(1, batch(1))
    files.write(3, other)
    sent = files.close()
    assert sorted(sent) == [1, 3]
    first, second = read_sent(sent[3])
    assert first["a"].to_pylist() == [0, 1, 2, 3, 4]
    assert first.schema.metadata == {b"source": b"one"}
    assert second["b"].to_pylist() == [["x"], None]
    assert len(next(read_sent(sent[1]))) == 1


def test_work_done_again_leaves_what_the_first_try_wrote(tmp_path):
    tries = [BucketFiles(str(tmp_path)) for _ in range(2)]
    for size, files in enumerate(tries, 1):
        files.write(0, batch(size))
    sent = [files.close()[0] for files in tries]
    assert [len(next(read_sent(one))) for one in sent] == [1, 2]


def test_a_stream_is_read_when_it_is_asked_for(tmp_path):
    files = BucketFiles(str(tmp_path))
    for _ in range(20):
        files.write(0, batch(50_000))
    before = pa.total_allocated_bytes()
    tables = read_sent(files.close()[0])
    assert len(next(tables)) == 50_000
    assert pa.total_allocated_bytes() - before < 3 * 50_000 * 8
