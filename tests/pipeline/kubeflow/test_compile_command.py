"""The verb ``compile`` tells what is wrong at once, before TFX is imported."""

import pathlib
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from pipeline.__main__ import main

VALID = pathlib.Path("tests/settings/valid/kubeflow.yaml")


def test_settings_without_a_cluster_are_refused_without_tfx():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from pipeline.__main__ import main\n"
        "told = CliRunner().invoke(main, ['compile'])\n"
        "print(told.output, told.exit_code, [m for m in ('tfx', 'tensorflow', 'kfp') "
        "if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "settings.yaml: kubeflow: missing: image, pipeline_root and nodes" in done.stdout
    assert done.stdout.endswith("1 []\n"), done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "kubeflow.image is 'plant:1': expected an image pinned by digest"),
        (
            ["--allow-unpinned", "--backend", "vertex"],
            "expected a bucket of Google Cloud Storage",
        ),
    ],
)
def test_nothing_is_written_where_something_is_wrong(tmp_path, words, told):
    data = yaml.safe_load(VALID.read_text())
    data["kubeflow"]["image"] = "plant:1"
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump(data))
    words = ["--settings", str(settings), "compile", "--output", str(tmp_path / "out"), *words]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert told in result.output
    assert not (tmp_path / "out").exists()
