import subprocess
import sys

import pytest

from components.model_evaluator.metrics import METRICS, check_metrics, supported_metrics
from components.model_evaluator.report import read_evaluation, write_evaluation


def test_every_task_has_metrics_of_its_own():
    assert "auc" in supported_metrics("binary")
    assert "accuracy" in supported_metrics("multiclass")
    assert "mean_squared_error" in supported_metrics("regression")
    assert "auc" not in supported_metrics("regression")
    assert all("example_count" in supported_metrics(t) for t in METRICS["example_count"].tasks)


@pytest.mark.parametrize(
    ("task", "metrics", "message"),
    [
        ("binary", {"auk": {}}, "metric 'auk' is unknown for task 'binary', did you mean 'auc'?"),
        ("regression", {"auc": {}}, "'auc' is unknown for task 'regression'"),
        ("binary", {"auc": {"mni": 0.8}}, "auc: 'mni': expected one of min, max"),
        ("binary", {"auc": {"may_rise": 0.1}}, "auc: may_rise does not fit: use may_drop"),
        ("binary", {"brier_score": {"may_drop": 0.1}}, "may_drop does not fit: use may_rise"),
        ("binary", {"calibration": {"may_drop": 0.1}}, "does not fit: use min and max"),
        ("binary", {"auc": {"min": 0.9, "max": 0.8}}, "auc: min 0.9 is above max 0.8"),
        ("binary", {"auc": {"may_drop": -0.1}}, r"auc\.may_drop is -0.1: expected 0 or above"),
    ],
)
def test_what_does_not_fit_is_named(task, metrics, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        check_metrics(task, metrics)


def test_metrics_are_checked_without_tensorflow():
    code = (
        "import sys; from components.model_evaluator import metrics, report; "
        "metrics.check_metrics('binary', {'auc': {'min': 0.8, 'max': None, 'may_drop': 0.0}}); "
        "assert not {'tensorflow', 'tensorflow_model_analysis', 'tfx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def report(**changes: object) -> dict:
    return {
        "blessed": False,
        "metrics": {},
        "baseline_metrics": {},
        "baseline_version": 6,
        "thresholds": {},
        "failures": [],
        "slices": [],
        "note": "",
        **changes,
    }


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (
            {"metric": "auc", "rule": "min", "bound": 0.8, "value": 0.79, "baseline": None},
            "auc 0.79 is below 0.80",
        ),
        (
            {"metric": "auc", "rule": "min", "bound": 0.8, "value": 0.79996, "baseline": None},
            "auc 0.79996 is below 0.80000",
        ),
        (
            {"metric": "brier_score", "rule": "max", "bound": 0.1, "value": 0.2, "baseline": None},
            "brier_score 0.20 is above 0.10",
        ),
        (
            {"metric": "auc", "rule": "may_drop", "bound": 0.01, "value": 0.88, "baseline": 0.9},
            "auc fell from 0.90 (version 6) to 0.88: it may drop by 0.01",
        ),
        (
            {
                "metric": "brier_score",
                "rule": "may_rise",
                "bound": 0,
                "value": 0.0112,
                "baseline": 0.0111,
            },
            "brier_score rose from 0.0111 (version 6) to 0.0112: it may rise by 0",
        ),
        (
            {"metric": "auc", "rule": "min", "bound": 0.8, "value": None, "baseline": None},
            "auc is undefined on the eval examples (one class only, or none)",
        ),
    ],
)
def test_reasons_are_sentences_with_numbers(tmp_path, failure, sentence):
    write_evaluation(str(tmp_path), report(failures=[failure]))
    assert read_evaluation(str(tmp_path))["reasons"] == [sentence]


def test_a_blessed_model_needs_no_reasons(tmp_path):
    write_evaluation(str(tmp_path), report(blessed=True))
    assert read_evaluation(str(tmp_path))["reasons"] == []
