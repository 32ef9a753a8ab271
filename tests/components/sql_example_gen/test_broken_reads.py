"""A server or a network that fails while rows are read: all rows once in the end, or a clear error.

What fails is real: PostgreSQL is stopped as a crash would, its sessions are ended, and a proxy
stalls, resets or slows the connection; at a batch or a byte that is counted, not at a time.
"""

import itertools
import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from components.ingest import patience, sql
from components.ingest.durations import parse_instant
from components.ingest.errors import BrokenOffError, DataError
from components.ingest.examples import read_table, shard_name
from components.ingest.spans.days import DAY
from components.sql_example_gen import stages
from tests import kept_days
from tests.components.sql_example_gen.conftest import ALL_TIME
from tests.tcp_proxy import TcpProxy

ROWS = 60_000
# Rows that no buffer between server and client holds.
QUERY = (
    "SELECT g AS id, timestamp '2025-01-01' + g * interval '1 s' AS at, repeat('x', 300) AS filler"
    f" FROM generate_series(1, {ROWS}) g"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.05)


@pytest.fixture
def source(make_source, postgres, monkeypatch) -> Callable[..., Any]:
    monkeypatch.setenv("PLANT_DB_URL", postgres.url)
    defaults = {"query": QUERY, "url_env": "PLANT_DB_URL", "batch_rows": 2000}
    defaults["read_timeout"] = "20s"
    return lambda **settings: make_source(**{**defaults, **settings})


@pytest.fixture
def proxy(postgres, monkeypatch, source):
    with TcpProxy(postgres.port) as between:
        url = postgres.url.replace(f":{postgres.port}/", f":{between.port}/")
        monkeypatch.setenv("PLANT_DB_URL", url)
        yield between


def read(source, folder, at: int = -1, act: Callable[[], Any] = lambda: None) -> list[int]:
    """Plans, reads, writes and commits as Beam's workers do; calls ``act`` at a batch. The ids."""
    plan = sql.plan("readings", source, ALL_TIME)
    work, shards = folder / "work", folder / "Split-all"
    work.mkdir(exist_ok=True), shards.mkdir(exist_ok=True)
    reader = stages.ReadPartition("readings", source, ALL_TIME, plan.columns, str(work))
    writer = stages.WriteShards("readings", "at", ALL_TIME, str(work))
    count, pieces = itertools.count(), []
    for part in enumerate(plan.partitions):
        writer.start_bundle()
        for element in reader.process(part):
            if next(count) == at:
                act()
            writer.process(element)
        pieces += [value.value[1] for value in writer.finish_bundle()]
    parts = len(plan.partitions)
    stages.CommitShards(str(shards), str(work), parts).process((None, pieces))
    assert sum(piece["rows"] for piece in pieces) == ROWS
    assert all(0 <= piece["seconds"] < 600 for piece in pieces)
    names = [shard_name(index, parts) for index in range(parts)]
    assert sorted(path.name for path in shards.iterdir()) == names
    return sorted(read_table([str(shards / name) for name in names])["id"].to_pylist())


def restart(server) -> None:
    server.stop("immediate")
    server.start()


EVERY = list(range(1, ROWS + 1))


@pytest.mark.parametrize("fault", ["restart", "end_sessions"])
def test_a_part_that_breaks_off_is_read_anew(source, postgres, tmp_path, caplog, fault):
    act = {"restart": lambda: restart(postgres), "end_sessions": postgres.end_sessions}[fault]
    settled = source(partitions={"column": "id", "count": 2}, connect_attempts=4)
    # Batch 20 of about 32: the first part is whole by then, the second in its middle.
    assert read(settled, tmp_path, 20, act) == EVERY
    told = [record.message for record in caplog.records if "trying again" in record.message]
    assert len(told) == 1
    assert re.search(
        r"part id modulo 2 = 1, after \d+,000 rows: the connection broke while", told[0]
    )
    assert postgres.password not in caplog.text


@pytest.mark.parametrize("clock", [0.0, 4e9])
def test_waits_and_durations_do_not_rest_on_the_machines_clock(
    source, postgres, tmp_path, monkeypatch, clock
):
    def jump() -> None:
        monkeypatch.setattr(time, "time", lambda: clock)
        monkeypatch.setattr(time, "time_ns", lambda: int(clock * 1e9))
        postgres.end_sessions()

    assert read(source(), tmp_path, 10, jump) == EVERY


def test_a_server_that_stays_away_is_told(source, postgres, tmp_path, caplog):
    settled = source(read_attempts=2)
    try:
        with pytest.raises(DataError) as told:
            read(settled, tmp_path, 5, lambda: postgres.stop("immediate"))
    finally:
        postgres.start()
    assert re.match(
        rf"readings: database postgresql\+psycopg://plant:\*\*\*@127.0.0.1:{postgres.port}/plant, "
        r"part all rows, after 0 rows: no database answers there \(1 attempt; .*refused.*\); try 2 "
        r"of 2, \d+\.\d s after the first began\. Check that the server runs, and host, port and",
        str(told.value),
    )
    assert postgres.password not in str(told.value) + caplog.text
    assert stages.read_error(str(tmp_path / "work")).rule == told.value.rule
    assert not list((tmp_path / "Split-all").iterdir())
    assert read(settled, tmp_path) == EVERY


def test_a_server_killed_between_plan_and_read_is_waited_for(source, postgres):
    settled = source(connect_attempts=8)
    plan = patience.plan_parts("readings", settled, ALL_TIME)
    postgres.stop("immediate")
    starter = threading.Thread(target=postgres.start)
    starter.start()
    parts = patience.read_part("readings", settled, ALL_TIME, plan.columns, plan.partitions[0])
    assert sum(batch.num_rows for _, batch in parts) == ROWS
    starter.join()


def test_a_reset_in_mid_read_is_read_anew(source, proxy, tmp_path, caplog):
    assert read(source(), tmp_path, 10, proxy.reset) == EVERY
    assert "the connection broke while rows were read" in caplog.text


def test_a_plan_that_breaks_off_is_made_anew(source, proxy, caplog):
    proxy.after, proxy.trigger = 100_000, proxy.reset
    plan = patience.plan_parts("readings", source(), ALL_TIME)
    assert len(plan.columns) == 3 and proxy.connections == 2
    assert caplog.text.count("trying again") == 1


def test_a_day_that_breaks_off_is_read_anew(source, proxy, tmp_path, caplog):
    proxy.after, proxy.trigger = 3_000_000, proxy.reset
    settled = source(incremental={"late": "1d", "directory": str(tmp_path / "days")})
    begin = parse_instant("2025-01-01")
    times = sql.Times(begin, begin + DAY, begin + DAY)
    rows, _ = kept_days.read_by_day("readings", settled, times, tmp_path / "shards")
    assert sorted(dict(row)["id"] for row in rows) == EVERY
    assert caplog.text.count("trying again") == 1


def test_a_stall_ends(source, proxy, tmp_path, caplog):
    settled = source(read_timeout="3s", read_attempts=2)
    begun = time.monotonic()
    with pytest.raises(BrokenOffError) as told:
        read(settled, tmp_path, 10, proxy.stall)
    assert time.monotonic() - begun >= 6
    assert re.search(
        r"part all rows, after 0 rows: nothing came for 3s \(read_timeout\); try 2 of 2, \d+\.\d s "
        r"after the first began\. Check the network and what the server is doing",
        str(told.value),
    )
    assert re.search(r"after 2\d,000 rows: nothing came for 3s", caplog.text)
    proxy.flow()
    assert read(settled, tmp_path) == EVERY


def test_a_stall_that_passes_is_no_error(source, proxy, tmp_path):
    def stall_for_a_while() -> None:
        proxy.stall()
        threading.Timer(1.0, proxy.flow).start()

    assert read(source(read_timeout="60s"), tmp_path, 10, stall_for_a_while) == EVERY
    assert proxy.connections == 2


def test_a_slow_network_is_no_error(source, proxy, tmp_path):
    proxy.pause = 0.001
    assert read(source(read_timeout="30s", read_attempts=1), tmp_path) == EVERY


def test_a_stalled_look_at_a_source_ends(source, proxy):
    proxy.stall()
    settled = source(read_timeout="1s")
    with pytest.raises(BrokenOffError, match="nothing came for 1s"):
        patience.answered("readings", settled, lambda: settled.fingerprint("readings", 0))


def test_a_peer_that_is_gone_is_noticed_by_the_kernel(source):
    from components.ingest.sql.connect import connected

    with connected("readings", source()) as connection:
        told = connection.connection.driver_connection.info.get_parameters()
    wanted = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
    assert wanted | {"tcp_user_timeout": "60000", "connect_timeout": "10"} == {
        key: told[key] for key in (*wanted, "tcp_user_timeout", "connect_timeout")
    }


def test_a_query_that_the_server_cancels_is_not_asked_again(source, postgres, monkeypatch, caplog):
    limit = f"{postgres.url}?options=-c%20statement_timeout%3D200"
    monkeypatch.setenv("PLANT_DB_URL", limit)
    slow = "SELECT 1 AS id, now() AS at FROM (SELECT pg_sleep(20)) slow"
    with caplog.at_level(logging.WARNING), pytest.raises(DataError) as told:
        patience.plan_parts("readings", source(query=slow), ALL_TIME)
    assert "the server cancelled the query (canceling statement due to statement timeout" in str(
        told.value
    )
    assert "Raise the user's time limit" in str(told.value)
    assert "trying again" not in caplog.text


def test_rows_of_a_first_try_do_not_count_where_the_second_has_none(tmp_path):
    """The table was emptied in between: what counts is what the last try saw."""
    import pyarrow as pa

    batch = pa.RecordBatch.from_pydict({"id": [1], "at": [0]})
    writer = stages.WriteShards("readings", "at", ALL_TIME, str(tmp_path))
    writer.start_bundle()
    for element in ((0, 1, 0, 0.0, batch), (0, 2, 0, 0.0, batch.slice(0, 0))):
        writer.process(element)
    pieces = [value.value[1] for value in writer.finish_bundle()]
    # As two bundles tell it, if a runner spread the part over them.
    both = [{**pieces[0], "attempt": 1, "path": "gone", "rows": 1}, *pieces]
    stages.CommitShards(str(tmp_path), str(tmp_path), 1).process((None, both))
    assert [piece["rows"] for piece in stages.read_pieces(str(tmp_path))] == [0]


# PyMySQL's own cursors complain when they are collected after their connection broke.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.services
@pytest.mark.parametrize("fault", ["restart", "end_sessions", "stall"])
def test_the_same_of_mariadb(source, mariadb, tmp_path, monkeypatch, caplog, fault):
    query = (
        "SELECT seq AS id, '2025-01-01' + INTERVAL seq SECOND AS at, REPEAT('x', 300) AS filler"
        f" FROM seq_1_to_{ROWS}"
    )
    with TcpProxy(mariadb.port) as between:

        def stall() -> None:
            between.stall()
            threading.Timer(3.0, between.flow).start()

        def restart() -> None:
            mariadb.kill()
            mariadb.start()

        url = mariadb.url.replace(f":{mariadb.port}/", f":{between.port}/")
        monkeypatch.setenv("PLANT_DB_URL", url)
        act = {"restart": restart, "end_sessions": mariadb.end_sessions, "stall": stall}[fault]
        settled = source(query=query, connect_attempts=4, read_timeout="2s")
        assert read(settled, tmp_path, 5, act) == EVERY
    told = [record.message for record in caplog.records if "part all rows" in record.message]
    assert len(told) >= 1
    assert re.search(r"part all rows, after \d+,000 rows: ", told[0])
    assert mariadb.password not in caplog.text
