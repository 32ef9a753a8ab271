"""The definition itself: compiled, uploaded, run and watched by one call of the verb."""

import pytest
from click.testing import CliRunner

from pipeline.__main__ import main
from pipeline.nodes import node_ids
from pipeline.settings import load_settings
from tests import demo_project

pytestmark = pytest.mark.tfx


def test_it_is_submitted_once(server, tmp_path, monkeypatch):
    monkeypatch.chdir(demo_project.PLANT)
    monkeypatch.setenv("KFP_TOKEN", server.door.token)
    server.multi_user, server.door.kind = True, "token"
    text = demo_project.CLUSTER_SETTINGS.read_text()
    settings = tmp_path / "settings.yaml"
    settings.write_text(text.replace("https://kubeflow.example/pipeline", server.url))
    call = ["--settings", str(settings), "submit", "--poll", "0.01"]
    results = [CliRunner().invoke(main, [*call, *more]) for more in ([], ["--no-wait"])]
    for result in results:
        assert result.exit_code == 0, result.output
    first, second = results
    assert "The run succeeded." in first.output and "was there already" in second.output
    for name in node_ids(load_settings(settings)):
        assert f"done    {name}  " in first.output
    assert len(server.store.versions) == 1 and len(server.store.runs) == 2
