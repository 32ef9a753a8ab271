import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.policies import folder_of, numbered, wanted


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", [7]),
        ("latest {}", [7]),
        ("latest { num_versions: 2 }", [7, 5]),
        ("all {}", [7, 5, 1]),
        ("specific { versions: 1 versions: 9 }", [1]),
    ],
)
def test_policies(policy, versions):
    model = model_server_config_pb2.ModelConfig()
    text_format.Parse(f"model_version_policy {{ {policy} }}", model)
    assert wanted([1, 7, 5], model.model_version_policy) == versions


def test_any_child_whose_name_is_a_number_is_a_version(tmp_path):
    names = ["3", "001", "1", "x1", "-4", "2.tmp", ".5", "\u0663", str(2**63)]
    assert numbered(names) == [1, 3]
    (tmp_path / "007").mkdir()
    assert folder_of(tmp_path, 7) == str(tmp_path / "007")
