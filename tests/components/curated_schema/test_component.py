"""CuratedSchema as a TFX component."""

import pytest
from tfx.types import standard_artifacts

from components.curated_schema.component import CuratedSchema
from components.curated_schema.executor import Executor
from components.curated_schema.schema_file import SchemaError

pytestmark = pytest.mark.tfx


def test_parameters_are_part_of_the_cache_key():
    made = CuratedSchema(schema_file="schemas/schema.pbtxt", fingerprint="12ab", code="34cd")
    assert made.exec_properties == {
        "schema_file": "schemas/schema.pbtxt",
        "fingerprint": "12ab",
        "code": "34cd",
    }
    assert made.outputs["schema"].type is standard_artifacts.Schema


def test_executor(tmp_path):
    path = tmp_path / "curated.pbtxt"
    path.write_text('feature { name: "age" type: FLOAT }')
    artifact = standard_artifacts.Schema()
    artifact.uri = str(tmp_path / "out")
    Executor().Do({}, {"schema": [artifact]}, {"schema_file": str(path)})
    assert (tmp_path / "out" / "schema.pbtxt").read_text() == path.read_text()
    path.unlink()
    with pytest.raises(SchemaError, match="schema infer"):
        Executor().Do({}, {"schema": [artifact]}, {"schema_file": str(path)})
