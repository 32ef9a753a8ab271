"""How far the mirror is, whose turn it is, and what is told of errors."""

import pytest

from serving.registry import standing
from serving.registry.connect import words
from serving.registry.settings import Registry
from serving.releases import Releases


def test_one_mirrors_one_waits_and_others_give_up(tmp_path):
    with standing.turn(tmp_path, queue=False) as first:
        assert first
        with (tmp_path / ".registry.next").open("a") as waiting:
            standing.fcntl.flock(waiting, standing.fcntl.LOCK_EX)
            with standing.turn(tmp_path, queue=False) as third:
                assert not third
    with standing.turn(tmp_path, queue=False) as later:
        assert later


def test_behind_tells_what_is_missing_and_why(tmp_path):
    releases = Releases(tmp_path / "plant")
    assert standing.behind(releases) == ""
    model = tmp_path / "m"
    model.mkdir()
    (model / "saved_model.pb").write_text("1")
    releases.push(model, {}, 2, "blessed")
    assert standing.behind(releases).startswith("MLflow is not told yet of 'push' of version 1 (")

    standing.succeeded(releases.folder, standing.newest(releases))
    assert standing.behind(releases) == ""
    standing.failed(releases.folder, "no route to host")
    assert ": no route to host. The next change or " in standing.behind(releases)
    assert standing.read(releases.folder).through == standing.newest(releases)

    (releases.folder / standing.STANDING).write_text("{")
    assert standing.read(releases.folder) == standing.Standing()


def test_errors_are_one_line_without_passwords():
    error = OSError("GET\n https://ml:p@ss@mlflow.example/api failed: 'http://u:x@h/'.")
    assert words(error) == "GET https://***@mlflow.example/api failed: 'http://***@h/'"
    assert words(TimeoutError()) == "TimeoutError"


def test_the_variable_goes_before_the_settings(monkeypatch):
    both = Registry(kind="mlflow", tracking_uri_env="MIRROR_AT", tracking_uri="sqlite:///a.db")
    monkeypatch.delenv("MIRROR_AT", raising=False)
    assert both.uri() == "sqlite:///a.db"
    monkeypatch.setenv("MIRROR_AT", "https://mlflow.example")
    assert both.uri() == "https://mlflow.example"
    monkeypatch.delenv("MIRROR_AT")
    with pytest.raises(ValueError, match="MIRROR_AT is not set: export MIRROR_AT=https://user"):
        Registry(kind="mlflow", tracking_uri_env="MIRROR_AT").uri()
