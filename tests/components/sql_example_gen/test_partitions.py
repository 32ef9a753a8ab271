"""Every row is in exactly one part, whatever the column holds."""

import contextlib
import sqlite3
from collections import Counter

import hypothesis
import hypothesis.strategies as st
import pytest

from components.ingest import sql
from components.ingest.errors import DataError
from components.ingest.sources import SqlSource

AT = "2025-04-17 00:00:00"
TIMES = sql.Times(0, 1, 1)
INTEGERS = st.one_of(st.none(), st.integers(-(2**63) + 200, 2**63 - 200), st.integers(-20, 20))
FLOATS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], min_codepoint=1)))
BYTES = st.one_of(st.none(), st.binary())


def parts_of(path, values, count: int) -> tuple[sql.Plan, list[list[int]]]:
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE readings (id INTEGER, at TEXT, cut)")
        rows = [(i, AT, value) for i, value in enumerate(values)]
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?)", rows)
        connection.commit()
    source = SqlSource.model_validate(
        {
            "kind": "sql",
            "url": f"sqlite:///{path}",
            "query": "SELECT * FROM readings",
            "entity": "id",
            "time": "at",
            "batch_rows": 7,
            "partitions": {"column": "cut", "count": count},
        }
    )
    plan = sql.plan("readings", source, TIMES)
    found = [
        [
            entity
            for batch in sql.read_partition("readings", source, TIMES, plan.columns, partition)
            for entity in batch.column(0).to_pylist()
        ]
        for partition in plan.partitions
    ]
    return plan, found


@hypothesis.given(
    values=st.one_of(*(st.lists(kind, min_size=1, max_size=30) for kind in (INTEGERS, FLOATS))),
    count=st.integers(2, 9),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_numbers_are_read_exactly_once(tmp_path_factory, values, count):
    _, parts = parts_of(tmp_path_factory.getbasetemp() / "numbers.db", values, count)
    assert Counter(entity for part in parts for entity in part) == Counter(range(len(values)))


@hypothesis.given(
    values=st.one_of(*(st.lists(kind, min_size=1, max_size=30) for kind in (TEXTS, BYTES))),
    count=st.integers(2, 9),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_text_is_read_exactly_once(tmp_path_factory, values, count):
    _, parts = parts_of(tmp_path_factory.getbasetemp() / "text.db", values, count)
    assert Counter(entity for part in parts for entity in part) == Counter(range(len(values)))


def test_integers_are_cut_by_remainder(tmp_path):
    plan, parts = parts_of(tmp_path / "a.db", [-5, -4, -3, None, 0, 3, 4, 5], 3)
    assert parts == [[2, 3, 4, 5], [0, 6], [1, 7]]
    assert [str(partition) for partition in plan.partitions] == [
        "cut modulo 3 = 0, or NULL",
        "cut modulo 3 = 1",
        "cut modulo 3 = 2",
    ]


def test_other_columns_are_cut_at_their_own_values(tmp_path):
    values = ["b"] * 50 + ["a", "c", None, "d"]
    plan, parts = parts_of(tmp_path / "a.db", values, 2)
    assert [len(part) for part in parts] == [52, 2]
    assert str(plan.partitions[0]) == "cut < 'c', or NULL"
    assert str(plan.partitions[1]) == "cut >= 'c'"


def test_few_values_make_few_parts(tmp_path):
    plan, parts = parts_of(tmp_path / "a.db", ["x", "y", "x"], 8)
    assert parts == [[0, 2], [1]]
    plan, parts = parts_of(tmp_path / "a.db", ["x", "x"], 8)
    assert parts == [[0, 1]]
    assert len(plan.partitions) == 1


def test_a_partition_column_that_is_not_there_is_named(database, make_source):
    url = database("CREATE TABLE readings (id, at, cut)", rows=[(1, AT, 1)])
    source = make_source(url=url, partitions={"column": "cutt", "count": 2})
    with pytest.raises(DataError) as told:
        sql.plan("readings", source, TIMES)
    assert str(told.value) == (
        "readings: column 'cutt': the source's partitions.column names it, but the result's "
        "columns are id, at, cut. Did you mean 'cut'? Select it in the query, or change the setting"
    )


def test_what_a_warehouse_is_asked():
    """In SQLAlchemy's plain dialect, from which those of warehouses begin."""
    from sqlalchemy.engine.default import DefaultDialect

    from components.ingest.sql.bind import bound_query
    from components.ingest.sql.partitions import Partition, partition_query

    source = SqlSource.model_validate(
        {
            "kind": "sql",
            "url_env": "WAREHOUSE",
            "query": "SELECT * FROM readings WHERE at < :end -- all",
            "entity": "id",
            "time": "at",
        }
    )
    query = bound_query("readings", source, source.query, TIMES, "snowflake")

    def asked(partition: Partition) -> str:
        return " ".join(
            str(partition_query(query, partition).compile(dialect=DefaultDialect())).split()
        )

    inner = "SELECT * FROM (SELECT * FROM readings WHERE at < :end -- all ) AS source_rows WHERE"
    assert asked(Partition(1, 3, "id", by_remainder=True)) == (
        f"{inner} (id % :id_1 + :param_1) % :param_2 = :param_3"
    )
    assert asked(Partition(0, 2, "MODEL", high="m")) == (
        f'{inner} "MODEL" < :param_1 OR "MODEL" IS NULL'
    )
