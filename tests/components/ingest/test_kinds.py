"""Kinds of sources that installed packages bring, and how broken ones are told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULE = """
from typing import Literal
from components.ingest.source import RowSource

class Good(RowSource):
    kind: Literal["good"]
    table: str

class NotASource:
    pass
"""
POINTS = """
[tfx_pipeline.sources]
good = plant_kinds:Good
sql = plant_kinds:Good
other = plant_kinds:Good
absent = plant_kinds:Absent
wrong = plant_kinds:NotASource
"""
SETTINGS = """
project: {{name: plant}}
sources:
  observations: {{kind: sql, url: sqlite:///plant.db, query: SELECT 1, entity: id, time: at}}
  stored: {{kind: {kind}, entity: id, time: at, {more}}}
label: {{name: fails}}
split: {{by: time, train: 5d, eval: 2d}}
"""
CODE = """
import json, sys
from pipeline.settings import SettingsError, parse_settings
from pipeline.nodes import node_ids
for text in json.load(sys.stdin):
    try:
        settings = parse_settings(text)
        print(node_ids(settings)[1], type(settings.sources["stored"]).__name__)
    except SettingsError as error:
        print(str(error).replace("\\n", " "))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What settings with these kinds are told, where a package with these entry points is there."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "plant_kinds.py").write_text(MODULE)
    info = folder / "plant_kinds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: plant-kinds\nVersion: 1\n")
    (info / "entry_points.txt").write_text(POINTS)
    cases = {
        "good": "table: a",
        "unknown key": "table: a, tabel: b",
        "other": "table: a",
        "absent": "table: a",
        "wrong": "table: a",
        "nothing": "table: a",
    }
    texts = [
        SETTINGS.format(kind="good" if name == "unknown key" else name, more=more)
        for name, more in cases.items()
    ]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{folder}"},
    )
    assert done.returncode == 0, done.stderr
    assert "brings kind 'sql', which is taken" in done.stderr
    return dict(zip(cases, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("good", "StoreExampleGen-stored Good"),
        ("unknown key", "sources.stored.tabel: unknown key; did you mean 'table'?"),
        ("other", "cannot be used: plant_kinds:Good: expected kind: Literal['other'] among its"),
        ("absent", "cannot be used: plant_kinds:Absent: module 'plant_kinds' has no attribute"),
        ("wrong", "plant_kinds:NotASource: expected a class of components.ingest.source.RowSource"),
        ("nothing", "kind is 'nothing': expected"),
    ],
)
def test_kinds(told, case, text):
    assert text in told[case]
