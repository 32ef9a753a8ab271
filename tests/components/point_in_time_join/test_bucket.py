"""From a bucket's rows to examples and the report, and what is refused on the way."""

import json

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.durations import format_instant, parse_instant
from components.ingest.errors import DataError
from components.ingest.split import data_window
from components.point_in_time_join.bucket import make_examples
from components.point_in_time_join.report import make_report
from components.point_in_time_join.tally import Tally, add

DAY = 86_400_000_000
HOUR = DAY // 24
AS_OF = parse_instant("2025-04-01")


def run(plant, buckets=1):
    settings = plant.parsed()
    window = data_window(AS_OF, settings.split, settings.horizon)
    parts, total = [], Tally()
    for bucket in range(buckets):

        def of(table, bucket=bucket):
            if buckets == 1 or not pa.types.is_integer(table["machine_id"].type):
                return table
            return table.filter(pa.array(np.asarray(table["machine_id"]) % buckets == bucket))

        sources = {n: {s: of(t) for s, t in parts.items()} for n, parts in plant.tables.items()}
        examples, tally = make_examples(of(plant.spine), sources, settings, window)
        parts.append(examples)
        total = add(total, tally)
    return parts, make_report(total, settings, window)


def refused(plant):
    with pytest.raises(DataError) as caught:
        run(plant)
    return str(caught.value)


def change(table, name, values):
    values = values if isinstance(values, pa.Array) else pa.array(values)
    return table.set_column(table.column_names.index(name), name, values)


def test_examples_lie_in_their_split_and_in_order(plant):
    plant.spine = plant.spine.take(np.random.default_rng(1).permutation(len(plant.spine)))
    (examples,), report = run(plant)
    for split, begin, end in (("train", 28, 8), ("eval", 7, 1)):
        keys = list(
            zip(
                *(examples[split][n].to_pylist() for n in ("machine_id", "observed_at")),
                strict=True,
            )
        )
        assert keys == sorted(keys)
        assert min(t for _, t in keys) == AS_OF - begin * DAY
        assert max(t for _, t in keys) == AS_OF - end * DAY - 6 * HOUR
        assert report["rows"][split] == len(keys) == 12 * (begin - end) * 4
    assert report["spine"]["dropped"] == {
        "before the window": 12 * 8,
        "embargo": 12 * 4,
        "label not settled": 12 * 4,
        "not before as-of": 12,
    }
    assert report["spine"]["rows"] == len(plant.spine)


def test_buckets_do_not_change_what_comes_out(plant):
    (whole,), report = run(plant)
    parts, parted = run(plant, buckets=5)
    assert parted == report
    for split, table in whole.items():
        together = pa.concat_tables([part[split] for part in parts]).combine_chunks()
        order = np.lexsort((together["observed_at"], together["machine_id"]))
        assert together.take(order).equals(table.combine_chunks())


def test_the_report_tells_what_matched_and_how_old_it_was(plant):
    _, report = run(plant)
    json.dumps(report)
    telemetry = report["sources"]["telemetry/every_1h"]
    assert telemetry["matched_share"] == 1
    assert 0.9 < telemetry["age_median_hours"] < 1.05
    assert report["sources"]["machines"]["age_median_hours"] > 24 * 370
    errors = report["sources"]["errors"]
    assert 0.5 < errors["matched_share"] < 1
    assert errors["age_p95_hours"] < 24
    assert report["splits"]["train"]["begin"] == "2025-03-04T00:00:00Z"
    assert sum(report["splits"]["train"]["classes"].values()) == report["rows"]["train"]
    assert report["warnings"] == []


def test_a_regression_reports_mean_and_spread(plant):
    plant.settings["label"] = {"name": "load", "task": "regression"}
    (examples,), report = run(plant)
    values = np.asarray(examples["train"]["load"], float)
    assert report["splits"]["train"]["label_mean"] == pytest.approx(values.mean())
    assert report["splits"]["train"]["label_std"] == pytest.approx(values.std(ddof=1))


def test_rows_without_label_are_dropped_and_counted(plant):
    labels = np.asarray(plant.spine["fails"], float)
    plant.spine = change(
        plant.spine, "fails", pa.array(labels, mask=np.arange(len(labels)) % 7 == 0)
    )
    _, report = run(plant)
    dropped = report["spine"]["dropped"]["label missing"]
    assert dropped == 12 * 26 * 4 - sum(report["rows"].values()) > 100
    assert report["warnings"] == [f"observations: {dropped} observations dropped: label missing"]


def test_a_spine_without_labels_is_refused(plant):
    plant.spine = plant.spine.drop(["fails"])
    assert refused(plant) == (
        "observations: column 'fails': no row has it. Let the query give it, or name one of its "
        "columns: load, machine_id, observed_at"
    )


def test_repeated_observations_and_unusable_rows_are_told(plant):
    plant.spine = pa.concat_tables([plant.spine, plant.spine.slice(600, 5)])
    times = pa.array(np.asarray(plant.errors["raised_at"]), mask=np.arange(800) < 3)
    plant.errors = change(plant.errors, "raised_at", times)
    machines = pa.array(
        np.asarray(plant.spine["machine_id"]), mask=np.arange(len(plant.spine)) == 610
    )
    plant.spine = change(plant.spine, "machine_id", machines)
    _, report = run(plant)
    assert report["spine"]["duplicates"] == 5
    assert report["spine"]["dropped"]["entity missing"] == 1
    assert report["sources"]["errors"]["left_out"] == {"time missing": 3}
    assert report["warnings"] == [
        "errors: 3 of 800 rows left out: time missing",
        "observations: 5 observations repeat another's entity and time",
    ]


def test_a_source_that_matches_little_is_warned_of(plant):
    plant.machines = plant.machines.slice(0, 3)
    _, report = run(plant)
    assert report["warnings"] == [
        "machines: only 25.0% of observations find a row",
        "machines: 9 of 12 entities are not in it",
    ]


@pytest.mark.parametrize("split", ["train", "eval"])
def test_one_class_only_is_refused(plant, split):
    begin, end = (28, 8) if split == "train" else (7, 1)
    times = np.asarray(plant.spine["observed_at"])
    inside = (times >= AS_OF - begin * DAY) & (times < AS_OF - end * DAY)
    plant.spine = change(plant.spine, "fails", np.where(inside, 0, plant.spine["fails"]))
    assert refused(plant) == (
        f"observations: split '{split}': label 'fails': all {12 * 4 * (begin - end)} examples from "
        f"{format_instant(AS_OF - begin * DAY)} to {format_instant(AS_OF - end * DAY)} have class "
        "0, and a classification needs two. Choose another as-of, or longer split.train or "
        "split.eval; or check how the query makes the label"
    )


def test_one_value_only_is_refused(plant):
    plant.settings["label"] = {"name": "load", "task": "regression"}
    plant.spine = change(plant.spine, "load", np.full(len(plant.spine), 2.5))
    assert (
        "all 960 examples from 2025-03-04T00:00:00Z to 2025-03-24T00:00:00Z have the value 2.5"
        in (refused(plant))
    )


def test_an_empty_split_is_refused(plant):
    early = np.asarray(plant.spine["observed_at"]) < AS_OF - 7 * DAY
    plant.spine = plant.spine.filter(pa.array(early))
    assert refused(plant) == (
        "observations: split 'eval': no examples from 2025-03-25T00:00:00Z to "
        "2025-03-31T00:00:00Z; observations has rows from 2025-03-02T00:00:00Z to "
        "2025-03-24T18:00:00Z; dropped: 96 before the window, 48 embargo. Choose another as-of, or "
        "longer split.train or split.eval"
    )


def test_an_empty_spine_is_refused(plant):
    plant.spine = plant.spine.slice(0, 0)
    assert refused(plant) == (
        "observations: rows: the spine has none. Check its query and that data lies between "
        "2025-03-04T00:00:00Z and 2025-03-31T00:00:00Z"
    )


def test_an_empty_source_is_refused(plant):
    plant.errors = plant.errors.slice(0, 0)
    assert refused(plant) == (
        "errors: rows: the source has none, so nothing can be joined from it. Check its query or "
        "path and the time that it covers, or take it out of sources"
    )


def test_no_overlap_in_time_is_refused_with_both_ranges(plant):
    for name, shift in (("time", -365 * DAY), ("known_at", -365 * DAY)):
        plant.telemetry = change(plant.telemetry, name, np.asarray(plant.telemetry[name]) + shift)
    assert refused(plant) == (
        "telemetry/every_1h: times: no overlap in time: telemetry/every_1h from "
        "2024-02-26T01:00:00Z to 2024-04-01T00:00:00Z, observations from 2025-03-02T00:00:00Z to "
        "2025-04-01T00:00:00Z. Check both sources' time columns, units and time zones, and as-of"
    )


def test_a_source_of_the_future_is_refused(plant):
    plant.machines = change(plant.machines, "since", np.full(12, AS_OF + DAY))
    assert "machines: times: no overlap in time: machines from 2025-04-02" in refused(plant)


def test_no_entity_in_common_is_refused(plant):
    plant.machines = change(plant.machines, "machine_id", np.arange(100, 112))
    assert refused(plant) == (
        "machines: entities: none of the 12 entities in observations is in it. Check that both "
        "sources' entity columns hold the same identifiers, written alike"
    )


def test_rows_that_are_all_known_too_late_are_refused(plant):
    plant.telemetry = change(
        plant.telemetry, "known_at", np.asarray(plant.telemetry["time"]) + 40 * DAY
    )
    assert "no observation finds one that is known at its time and young enough" in refused(plant)


def test_windows_without_any_event_are_only_warned_of(plant):
    plant.errors = change(plant.errors, "recorded_at", np.full(800, AS_OF))
    _, report = run(plant)
    assert report["warnings"] == ["errors: no observation has an event in its windows"]


def test_a_column_that_no_event_has_is_refused(plant):
    plant.settings["sources"]["errors"]["windows"][0]["aggregate"] = {"codes": ["count"]}
    assert refused(plant) == (
        "errors: column 'codes': no row has it. Let the query give it, or name one of its columns: "
        "code, machine_id, raised_at, recorded_at, severity"
    )


@pytest.mark.parametrize("kind", ["spine", "source"])
def test_a_copy_of_the_label_under_another_name_is_refused(plant, kind):
    if kind == "spine":
        plant.spine = plant.spine.append_column("outcome", plant.spine["fails"])
        name = "outcome"
    else:
        copy = plant.spine.select(["machine_id", "observed_at", "fails"])
        plant.machines = copy.rename_columns(["machine_id", "since", "outcome"])
        name = "machines_outcome"
    assert refused(plant) == (
        f"observations: feature '{name}': it equals the label 'fails' in each of 1248 examples, so "
        "it is its copy. Leave it out of the query: when the model serves, it cannot be known"
    )


def test_a_label_of_several_values_is_refused(plant):
    labels = pa.array([[0, 1]] * len(plant.spine))
    plant.spine = change(plant.spine, "fails", labels)
    assert refused(plant) == (
        "observations: label 'fails': expected one number or text a row, found list<item: int64>. "
        "Let the query give one value a row"
    )


def test_classes_that_train_lacks_are_warned_of(plant):
    plant.settings["label"]["task"] = "multiclass"
    times = np.asarray(plant.spine["observed_at"])
    plant.spine = change(
        plant.spine, "fails", np.where(times == AS_OF - 2 * DAY, 7, plant.spine["fails"])
    )
    _, report = run(plant)
    assert report["warnings"] == ["observations: eval has label classes that train lacks: 7"]


def test_an_entity_split_parts_machines(plant):
    plant.settings["split"] = {"by": "entity", "window": "27d", "eval": 0.4}
    (examples,), report = run(plant)
    train, eval_ = (set(examples[s]["machine_id"].to_pylist()) for s in ("train", "eval"))
    assert not train & eval_
    assert len(train | eval_) == 12
    assert report["splits"]["train"]["first"] == report["splits"]["eval"]["first"]
