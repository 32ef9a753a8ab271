import json
from pathlib import Path

import pytest

from components.champion.component import Champion
from components.champion.executor import Executor, champion_version, fetch
from serving.releases import ReleaseError, Releases

pytestmark = pytest.mark.tfx


def push(folder: Path, content: str) -> None:
    model = folder / f"model-{content}"
    model.mkdir()
    (model / "saved_model.pb").write_text(content)
    statistics = folder / f"statistics-{content}"
    for split in ("train", "eval"):
        (statistics / f"Split-{split}").mkdir(parents=True)
        (statistics / f"Split-{split}" / "FeatureStats.pb").write_text(f"{split} of {content}")
    releases = Releases(folder / "served")
    releases.push(model, {"metrics": {"auc": 0.9}}, 5, "blessed", statistics=statistics)


def test_without_a_champion_only_a_note_is_handed_on(tmp_path):
    version, splits = fetch(str(tmp_path / "served"), tmp_path / "m", tmp_path / "s")

    assert (version, splits) == (None, [])
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["champion.json"]
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["champion.json"]
    assert champion_version(str(tmp_path / "m")) is None


def test_what_serves_is_handed_on_not_the_newest(tmp_path):
    push(tmp_path, "one")
    push(tmp_path, "two")
    Releases(tmp_path / "served").promote(1, "two is worse")

    version, splits = fetch(str(tmp_path / "served"), tmp_path / "m", tmp_path / "s")

    assert (version, splits) == (1, ["eval", "train"])
    assert (tmp_path / "m" / "Format-Serving" / "saved_model.pb").read_text() == "one"
    stats = tmp_path / "s" / "Split-train" / "FeatureStats.pb"
    assert stats.read_text() == "train of one"
    about = json.loads((tmp_path / "m" / "champion.json").read_text())
    assert (about["version"], about["metrics"]) == (1, {"auc": 0.9})


def test_a_champion_that_is_gone_stops_the_run(tmp_path):
    push(tmp_path, "one")
    (tmp_path / "served" / "1").rename(tmp_path / "elsewhere")
    with pytest.raises(ReleaseError, match="version 1 serves, but its folder is gone"):
        fetch(str(tmp_path / "served"), tmp_path / "m", tmp_path / "s")


def test_the_component_fills_its_artifacts(tmp_path):
    from tfx.types import standard_artifacts

    push(tmp_path, "one")
    component = Champion(str(tmp_path / "served"), release_state="1-abc", code="c")
    assert component.exec_properties == {
        "directory": str(tmp_path / "served"),
        "release_state": "1-abc",
        "code": "c",
    }
    model, statistics = standard_artifacts.Model(), standard_artifacts.ExampleStatistics()
    model.uri, statistics.uri = str(tmp_path / "m"), str(tmp_path / "s")

    Executor().Do(
        {}, {"model": [model], "statistics": [statistics]}, dict(component.exec_properties)
    )

    assert statistics.split_names == '["eval", "train"]'
    assert champion_version(model.uri) == 1
