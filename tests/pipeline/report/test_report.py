"""The page of a run, whatever became of it, from small artifacts and without TFX."""

import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import report
from pipeline.report.run import NoRunError, find, read
from tests.pipeline.report import made_run
from tests.pipeline.report.made_run import HOSTILE, STAGES


class Page(HTMLParser):
    """A page's tags, and its text by the section that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self._section = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = str(dict(attrs)["id"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        self.sections[self._section] = f"{self.sections.get(self._section, '')} {data}"

    def of(self, section: str) -> str:
        """A section's words, one space between each two."""
        return " ".join(self.sections.get(section, "").split())


def page(folder: Path) -> Page:
    return Page(report.render(read(folder), "plant"))


def without(*stages: str) -> dict[tuple[str, str, str], Any]:
    """Reports of all stages but these."""
    return {key: told for key, told in made_run.reports().items() if key[0] not in stages}


def test_a_released_version_comes_first_and_each_part_follows(tmp_path: Path) -> None:
    made = page(made_run.make(tmp_path))
    assert "Version 7 was released" in made.of("decision")
    assert "auc 0.910, +0.010 over version 6" in made.of("decision")
    order = [key for key in made.sections if key]
    assert order == [
        "decision",
        "stages",
        "data",
        "anomalies",
        "features",
        "training",
        "quality",
        "serving",
        "lineage",
    ]
    assert "embargo" in made.of("data") and "2.0 % of the readings" in made.of("data")
    assert "5 h" in made.of("data")
    assert "missing 5.0 %" in made.of("features")
    assert "epoch 2 kept, stopped early" in made.of("training")
    assert "18.4 ms" in made.of("serving") and "40 % of its processors" in made.of("serving")
    assert "0.910 0.900 +0.010 at least 0.8" in made.of("quality")
    assert "with changes that were not committed" in made.of("lineage")


def test_every_picture_says_what_it_shows_to_all_readers(tmp_path: Path) -> None:
    made = page(made_run.make(tmp_path))
    pictures = [attributes for tag, attributes in made.tags if tag == "svg"]
    assert len(pictures) > 12
    assert all(one["aria-label"] and one["role"] == "img" for one in pictures)
    # Below each: what it shows. The time axis is drawn twice, for wide and for narrow screens.
    assert [tag for tag, _ in made.tags].count("figcaption") == len(pictures) - 1


def test_names_of_all_kinds_are_escaped_and_nothing_is_fetched(tmp_path: Path) -> None:
    text = report.render(read(made_run.make(tmp_path)), HOSTILE)
    made = Page(text)
    assert "script" not in {tag for tag, _ in made.tags}
    assert HOSTILE not in text and text.count("&lt;script&gt;") > 20
    fetching = {"src", "srcset", "action", "data", "poster", "background", "style", "onclick"}
    assert not [name for _, attributes in made.tags for name in attributes if name in fetching]
    links = [str(a["href"]) for tag, a in made.tags if tag in ("a", "link", "use", "image")]
    assert links and all(link.startswith("#") for link in links)
    policy = next(a["content"] for _, a in made.tags if a.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")
    assert "url(" not in text and "@import" not in text


def test_a_run_that_anomalies_stopped_says_which_and_how_to_mend_them(tmp_path: Path) -> None:
    after = STAGES[STAGES.index("AnomalyGate") + 1 :]
    error = f"the data has 1 anomaly; the run stops here\n  {HOSTILE} (train): too high"
    folder = made_run.make(
        tmp_path,
        without("AnomalyGate", *after),
        state="failed",
        states={"AnomalyGate": "failed", **dict.fromkeys(after, "waiting")},
        error=error,
    )
    (number,) = {
        number for stage, (number, _) in read(folder).executions.items() if stage == "AnomalyGate"
    }
    refused = tmp_path / f"pipeline/AnomalyGate/refused/{number}.json"
    refused.parent.mkdir(parents=True)
    refused.write_text(json.dumps(made_run.anomalies(made_run.FINDING)))
    made = page(folder)
    assert "Stopped: the data is not what the model expects" in made.of("decision")
    assert "The data has 1 anomaly" in made.of("decision")
    assert "schema infer" in made.of("decision")
    assert "Unexpectedly high value: 900" in made.of("anomalies")
    assert "Mend: mend the source or its unit" in made.of("anomalies")
    assert [key for key in made.sections if key][:2] == ["decision", "anomalies"]
    assert "not reached" in made.of("stages")
    assert "did not get that far: training, model, serving" in made.of("")


def test_a_refused_model_says_why_and_what_serves(tmp_path: Path) -> None:
    found = made_run.reports()
    evaluation = found["Evaluator", "evaluation", "evaluation.json"]
    failure = {"metric": "auc", "rule": "min", "bound": 0.95, "value": 0.91, "baseline": None}
    evaluation |= {
        "blessed": False,
        "thresholds": {"auc": {"min": 0.95}},
        "failures": [failure],
        "reasons": ["auc 0.91 is below 0.95"],
    }
    found["VersionPusher", "pushed_model", "pushed.json"] |= {
        "pushed": False,
        "created": False,
        "version": None,
        "serves": 6,
        "reason": "auc 0.91 is below 0.95",
    }
    made = page(made_run.make(tmp_path, found))
    assert "The new model was not released" in made.of("decision")
    assert "Because auc 0.91 is below 0.95. Version 6 still serves." in made.of("decision")
    assert "evaluation.metrics" in made.of("decision")
    assert "not good enough" in made.of("quality") and "missed" in made.of("quality")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("failed", "Failed in Trainer"),
        ("stopped", "Stopped by hand; nothing was released"),
        ("running", "Still running"),
    ],
)
def test_a_run_that_ended_early_tells_how(tmp_path: Path, state: str, expected: str) -> None:
    after = ("Evaluator", "ServingGate", "VersionPusher")
    folder = made_run.make(
        tmp_path,
        without("Trainer", *after),
        state=state,
        states={"Trainer": state, **dict.fromkeys(after, "waiting")},
    )
    made = page(folder)
    assert expected in made.of("decision")
    assert "1,103 2 of 9 days read anew 1,000 103" in made.of("data")


def test_a_run_that_ended_before_its_first_stage_has_a_page(tmp_path: Path) -> None:
    folder = made_run.make(tmp_path, {}, state="failed", error="ValueError: no disk")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"nodes": {}, "edges": []}))
    (tmp_path / "metadata.db").unlink()
    made = page(folder)
    assert "The run failed" in made.of("decision") and "no disk" in made.of("decision")


def test_a_part_of_the_pipeline_says_so(tmp_path: Path) -> None:
    made = page(
        made_run.make(
            tmp_path,
            without(*STAGES[STAGES.index("StatisticsGen") :]),
            states=dict.fromkeys(STAGES[STAGES.index("StatisticsGen") :], "skipped"),
            to_nodes=("PointInTimeJoin",),
        )
    )
    assert "asked to end after PointInTimeJoin" in made.of("decision")


def test_a_report_that_cannot_be_read_spoils_its_section_alone(tmp_path: Path) -> None:
    found = made_run.reports()
    found["Trainer", "model_run", "training.json"] = '{"epochs": [{"of": "another age"}]}'
    found["ServingGate", "blessing", "report.json"] = "no JSON"
    made = page(made_run.make(tmp_path, found))
    assert "cannot be shown" in made.of("training") and "KeyError" in made.of("training")
    assert "cannot be shown" in made.of("serving")
    assert "Version 7 was released" in made.of("decision")
    assert "auc" in made.of("quality")


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("binary", "Right and wrong at 0.5"),
        ("multiclass", "Which class is taken for which"),
        ("regression", "Predicted against actual"),
    ],
)
def test_each_task_has_its_pictures(tmp_path: Path, task: str, expected: str) -> None:
    found = made_run.reports()
    found["Evaluator", "evaluation", "plots.json"] = made_run.plots(task)
    assert expected in page(made_run.make(tmp_path, found)).of("quality")


def test_sql_alone_and_no_curves_are_enough(tmp_path: Path) -> None:
    sensor = f"SensorExampleGen-{HOSTILE}"
    found = without(sensor)
    del found["Evaluator", "evaluation", "plots.json"]
    folder = made_run.make(tmp_path, found)
    record = json.loads((folder / "run.json").read_text())
    del record["nodes"][sensor], record["edges"], record["results"]
    (folder / "run.json").write_text(json.dumps(record))
    made = page(folder)
    assert "kept none" in made.of("quality")
    assert "silences" not in made.of("data")


def test_figures_without_a_number_are_left_out(tmp_path: Path) -> None:
    found = made_run.reports()
    measured = found["ServingGate", "blessing", "report.json"]["measured"]
    measured |= {"latency_p99_ms": float("inf"), "tried_p99_ms": [float("inf")] * 2}
    epochs = found["Trainer", "model_run", "training.json"]["epochs"]
    epochs[1]["metrics"]["val_loss"] = float("nan")
    text = report.render(read(made_run.make(tmp_path, found)), "plant")
    assert "cannot be shown" not in text
    assert not re.search(r'="-?(nan|inf)"', text)
    assert Page(text).of("training").count("eval: ") == 2 + 3


def test_a_source_of_a_store_stands_among_the_sources(tmp_path: Path) -> None:
    folder = made_run.make(tmp_path, made_run.reports())
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace("SqlExampleGen-", "StoreExampleGen-"))
    found = read(folder)
    executions = {
        stage.replace("SqlExampleGen-", "StoreExampleGen-"): made
        for stage, made in found.executions.items()
    }
    made = Page(report.render(dataclasses.replace(found, executions=executions), "plant"))
    assert "cannot be shown" not in made.of("stages") + made.of("data")
    assert "store" in made.of("data") and "embargo" in made.of("data")


def test_the_wait_for_input_is_told(tmp_path: Path) -> None:
    told = page(made_run.make(tmp_path, made_run.reports())).of("training")
    assert re.search(r"Waiting for input\s*10 %", told), told


def test_a_password_in_the_settings_is_not_shown(tmp_path: Path) -> None:
    folder = made_run.make(tmp_path)
    (tmp_path / "settings.yaml").write_text("url: postgresql://user:hunter2@host/db\n")
    text = report.render(read(folder), "plant")
    assert "hunter2" not in text and "postgresql://user:…@host/db" in text


def test_runs_are_found_by_the_beginning_of_their_ids(tmp_path: Path) -> None:
    with pytest.raises(NoRunError, match="python -m pipeline run"):
        find(tmp_path / "runs", None)
    for number in (1, 2):
        folder = tmp_path / "runs" / f"2025011{number}-000000-abcd"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    assert find(tmp_path / "runs", None).name.startswith("20250112")
    assert find(tmp_path / "runs", "20250111").name == "20250111-000000-abcd"
    with pytest.raises(NoRunError, match=r"2 runs .* name one of"):
        find(tmp_path / "runs", "2025011")
    with pytest.raises(NoRunError, match=r"no runs .* are called '2024'"):
        find(tmp_path / "runs", "2024")


def test_the_page_is_small_and_needs_no_tensorflow(tmp_path: Path) -> None:
    folder = made_run.make(tmp_path)
    code = (
        "import pathlib, sys; from pipeline.report import report\n"
        f"path = report.write(pathlib.Path({str(folder)!r}), 'plant')\n"
        "print(path, {'tensorflow', 'tfx', 'apache_beam'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(" ", 1) == [str(folder / "report.html"), "set()\n"]
    assert (folder / "report.html").stat().st_size < 300_000
    assert not re.search(r"(?<![\w.])nan(?!\w)", (folder / "report.html").read_text())
