"""Kept days of a real PostgreSQL: its types, its zones, and what its watermark sees."""

import pytest

from components.ingest import sql
from components.ingest.durations import parse_instant
from components.ingest.spans.days import DAY
from tests.kept_days import read_by_day, whole_read

BEGIN = parse_instant("2025-03-29")  # A day before Berlin's clocks leap forward.
STATE = """
    SELECT COUNT(*), MAX(updated_at) FROM orders WHERE closed_at >= :begin AND closed_at < :end
"""


@pytest.fixture
def orders(postgres, make_source, tmp_path):
    postgres.sql(
        "plant",
        "DROP TABLE IF EXISTS orders",
        """CREATE TABLE orders (
            machine BIGINT, closed_at TIMESTAMPTZ, local TIMESTAMP, cost NUMERIC(10, 2),
            urgent BOOLEAN, parts TEXT[], note TEXT, updated_at TIMESTAMPTZ DEFAULT now())""",
        """INSERT INTO orders SELECT i % 7, t, t, i * 0.25, i % 2 = 0, ARRAY['a', i::text],
            CASE WHEN i % 3 = 0 THEN 'note' END
            FROM generate_series(1, 500) i, LATERAL
            (SELECT TIMESTAMPTZ '2025-03-29 00:00Z' + i * INTERVAL '17 min' AS t) s""",
    )
    return make_source(
        url=postgres.url.replace(f":{postgres.password}", ""),
        url_env="ORDERS_URL",
        query="SELECT machine, closed_at, local, cost, urgent, parts, note FROM orders"
        " WHERE closed_at >= :begin AND closed_at < :end",
        entity="machine",
        time="closed_at",
        timezone="Europe/Berlin",
        batch_rows=40,
        partitions={"column": "machine", "count": 2},
        incremental={"watermark": STATE, "directory": str(tmp_path / "days")},
    )


def test_days_equal_a_whole_read_through_every_change(postgres, orders, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDERS_URL", postgres.url)
    times = sql.Times(BEGIN + DAY // 3, BEGIN + 5 * DAY, BEGIN + 5 * DAY)
    changes = {
        "first": ("SELECT 1", [0, 1, 2, 3, 4]),
        "nothing": ("SELECT 1", []),
        "late": ("INSERT INTO orders VALUES (9, '2025-03-30 02:30Z', NULL, NULL, NULL)", [1]),
        "correction": (
            "UPDATE orders SET cost = 99.99, updated_at = now()"
            " WHERE closed_at::date = '2025-04-01'",
            [3],
        ),
        "deletion": ("DELETE FROM orders WHERE closed_at >= '2025-03-31 23:00Z'"
                     " AND closed_at < '2025-04-01 01:00Z'", [2, 3]),
        "other types": (
            "ALTER TABLE orders ALTER COLUMN urgent TYPE TEXT, ADD COLUMN unused INT",
            [],
        ),
        "seen with a change": (
            "UPDATE orders SET updated_at = now() WHERE closed_at::date = '2025-04-02'",
            [0, 1, 2, 3, 4],
        ),
    }  # fmt: skip
    for what, (statement, days) in changes.items():
        postgres.sql("plant", "SET timezone = 'UTC'", statement)
        rows, read = read_by_day("orders", orders, times, tmp_path / what)
        assert [day - BEGIN // DAY for day in read] == days, what
        if what != "other types":  # No day's rows changed: nothing tells that their type did.
            assert rows == whole_read("orders", orders, times), what
    assert len(rows) > 300
