import pathlib

import pytest

from serving.server.config_files import ConfigError, read_batching, read_models, read_monitoring

ROOT = pathlib.Path(__file__).parents[3]


def write(tmp_path, text):
    path = tmp_path / "file.config"
    path.write_text(text)
    return path


def test_batching(tmp_path):
    path = write(
        tmp_path,
        """
        max_batch_size { value: 64 }  # a comment
        batch_timeout_micros { value: 500 }
        max_enqueued_batches { value: 3 }
        num_batch_threads { value: 5 }
        thread_pool_name { value: "pool" }
        allowed_batch_sizes: 32
        allowed_batch_sizes: 64
        """,
    )
    read = read_batching(path)
    assert (read.max_batch_size, read.batch_timeout_micros, read.max_enqueued_batches) == (
        64,
        500,
        3,
    )
    assert (read.num_batch_threads, read.thread_pool_name) == (5, "pool")
    assert read.allowed_batch_sizes == (32, 64)
    assert read_batching(write(tmp_path, "")).max_batch_size == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 64 }\nmax_bach_size { value: 1 }", r":2:\d+ : .*max_bach_size"),
        ("max_batch_size: 64", ":1:"),
        ("max_batch_size { value: 'x' }", ":1:"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0"),
        ("allowed_batch_sizes: 3", "last entry was 3; expected 1000"),
        ("pad_variable_length_inputs: true", "pad_variable_length_inputs is true"),
    ],
)
def test_batching_errors(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as raised:
        read_batching(path)
    assert str(raised.value).startswith(str(path))


def test_monitoring(tmp_path):
    text = 'prometheus_config { enable: true path: "/metrics" }'
    assert read_monitoring(write(tmp_path, text)) == "/metrics"
    text = "prometheus_config { enable: true }"
    assert read_monitoring(write(tmp_path, text)) == "/monitoring/prometheus/metrics"
    assert read_monitoring(write(tmp_path, "")) == ""
    with pytest.raises(ConfigError, match="leading '/'"):
        read_monitoring(write(tmp_path, 'prometheus_config { enable: true path: "m" }'))
    with pytest.raises(ConfigError, match=r":1:.*enabled"):
        read_monitoring(write(tmp_path, "prometheus_config { enabled: true }"))


def test_models(tmp_path):
    text = """model_config_list { config {
      name: "m" base_path: "/models/m" model_platform: "tensorflow"
      model_version_policy { specific { versions: 3 versions: 4 } }
      version_labels { key: "stable" value: 3 } } }"""
    (model,) = read_models(write(tmp_path, text)).model_config_list.config
    assert list(model.model_version_policy.specific.versions) == [3, 4]
    assert dict(model.version_labels) == {"stable": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model_config_list { config { name: "m" } }', "Expected model m to have an absolute path"),
        ('model_config_list { config { base_path: "/m" } }', "has no name"),
        (
            'model_config_list { config { name: "m" base_path: "/m" } '
            'config { name: "m" base_path: "/n" } }',
            "Illegal to list model m multiple times",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "onnx" } }',
            "model_platform 'onnx'",
        ),
        ("model_config_list {\n config { num_shards: 3 } }", ":2:.*num_shards"),
        ("model_config_list {", ":1:"),
    ],
)
def test_model_errors(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_models(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"nil\.config: No such file"):
        read_models(tmp_path / "nil.config")


def test_the_files_of_production():
    assert read_batching(ROOT / "infra/serving/batching.config").batch_timeout_micros == 0
    assert read_monitoring(ROOT / "infra/serving/monitoring.config").startswith("/")
