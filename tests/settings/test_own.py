"""The project's own settings: they load, and agree with its schema."""

import pytest

from components.curated_schema.schema_file import columns, read_schema
from pipeline.init.before import start
from pipeline.settings import load_settings
from tests.demo_project import ROOT


@pytest.mark.parametrize("name", ["settings.yaml", "infra/kubeflow/settings.yaml"])
def test_settings_and_schema_agree(name):
    settings = load_settings(ROOT / name)
    schema = ROOT / settings.schema_file
    # Before `init` there is no schema to agree with.
    assert schema.exists() or start(ROOT / name)
    if schema.exists():
        found = columns(read_schema(schema))
        assert settings.label.name in found
        assert settings.trainer_config(found)["features"]
