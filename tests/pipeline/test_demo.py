"""The verb ``demo``."""

import pathlib

import pytest
from click.testing import CliRunner, Result

from pipeline.__main__ import main


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def demo(*words: str) -> Result:
    return CliRunner().invoke(main, ["demo", "--machines", "2", "--days", "3", *words])


def test_tells_what_it_made(folder: pathlib.Path) -> None:
    told = demo()
    assert told.exit_code == 0, told.output
    assert "2 machines from 2025-01-01 to 2025-01-04" in told.output.replace("\n", " ")
    assert (folder / "var/demo/plant.db").exists()


def test_if_missing_makes_a_plant_only_for_settings_that_read_it(folder: pathlib.Path) -> None:
    (folder / "settings.yaml").write_text("url: sqlite:///data/mine.db\n")
    assert demo("--if-missing").output == ""
    assert not (folder / "var").exists()
    (folder / "settings.yaml").write_text("url: sqlite:///var/demo/plant.db\n")
    assert "Demo plant in var/demo" in demo("--if-missing").output
    assert demo("--if-missing").output == ""


def test_foreign_folder_is_refused(folder: pathlib.Path) -> None:
    (folder / "var/demo").mkdir(parents=True)
    (folder / "var/demo/mine.txt").write_text("precious")
    told = demo()
    assert told.exit_code == 1
    assert (folder / "var/demo/mine.txt").exists()
