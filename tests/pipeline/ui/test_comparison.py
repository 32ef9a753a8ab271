"""Two runs side by side."""

import pathlib

import httpx
import pytest

from pipeline.ui import comparison, facts, runs
from tests.pipeline.ui.conftest import RUNS


@pytest.fixture
def both(project: pathlib.Path) -> tuple[facts.Facts, facts.Facts]:
    directory = project.parent / "var"
    first, second = (runs.find(directory, name) for name in RUNS)
    assert first is not None and second is not None
    return facts.of(directory, first), facts.of(directory, second)


def test_metrics_say_which_run_is_better(both) -> None:
    rows = {row.name: row for row in comparison.metrics(*both)}
    assert list(rows) == ["auc", "brier_score", "auc · model A10"]
    assert rows["auc"].difference == pytest.approx(0.2)
    # Of a score that is an error, less is better; the slice fell while the whole rose.
    assert [rows[name].better for name in rows] == ["second", "second", "first"]


def test_whether_the_examples_are_the_same_is_told(both, client: httpx.Client) -> None:
    assert not comparison.same_examples(*both)
    assert not comparison.same_examples(facts.Facts(), facts.Facts())
    assert comparison.same_examples(both[0], both[0])
    page = client.get(f"/compare?run={RUNS[0]}&run={RUNS[1]}").text
    assert "Each was evaluated on examples of its own" in page


def test_equal_and_missing_values_make_nothing_better(both) -> None:
    assert {row.better for row in comparison.metrics(both[0], both[0])} == {""}
    rows = comparison.metrics(both[0], facts.Facts())
    assert {(row.second, row.difference, row.better) for row in rows} == {(None, None, "")}


def test_data_are_counted(both) -> None:
    rows = {row.name: row.difference for row in comparison.data(*both)}
    assert rows == {"examples · train": 100, "examples · eval": 10}


def test_settings_differ_by_their_path_and_fingerprints_do_not_count(both) -> None:
    (told,) = comparison.settings(*both)
    assert told == ("training.epochs", ("Trainer",), "10", "12")


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ('["a", "b"]', '["b", "c"]', ("a", "c")),
        ('["a", "b"]', '["b", "a"]', ('["a", "b"]', '["b", "a"]')),
        ("[64, 32]", "[64]", ("32", "")),
        ("1", "[1]", ("1", "[1]")),
        ("", "text", ("", "text")),
    ],
)
def test_of_lists_only_what_differs_is_shown(first, second, told) -> None:
    assert comparison.apart(first, second) == told


def test_the_schemas_differ_by_a_column(both) -> None:
    (change,) = comparison.schema(*both)
    assert (change.feature, change.what) == ("extra", "column")
    assert comparison.schema(both[0], both[0]) == []
    assert comparison.schema(both[0], facts.Facts()) is None


def test_curves_of_both_runs_share_a_picture(both) -> None:
    ((name, drawing),) = comparison.curves(("A", "B"), *both)
    assert name == "auc"
    assert drawing.count("<path") == 2
    ((_, alone),) = comparison.curves(("A", "B"), facts.Facts(), both[1])
    assert alone.count("<path") == 1


def test_the_page_puts_the_older_run_first(client: httpx.Client) -> None:
    page = client.get(f"/compare?run={RUNS[1]}&run={RUNS[0]}").text
    assert page.index(RUNS[0]) < page.index(RUNS[1])
    for told in ("training.epochs", "+0.200", "auc · model A10", "extra", "learning curves"):
        assert told.lower() in page.lower()


@pytest.mark.parametrize(
    ("query", "code"),
    [("", 400), (f"run={RUNS[0]}", 400), ("run=a&run=b&run=c", 400), (f"run={RUNS[0]}&run=b", 404)],
)
def test_anything_but_two_runs_is_refused(client: httpx.Client, query: str, code: int) -> None:
    assert client.get(f"/compare?{query}").status_code == code


def test_a_database_that_cannot_be_read_is_told(client: httpx.Client, tmp_path) -> None:
    (tmp_path / "var/metadata.db").write_text("no database")
    page = client.get(f"/compare?run={RUNS[0]}&run={RUNS[1]}").text
    assert "file is not a database" in page
