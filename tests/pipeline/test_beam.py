"""Beam's arguments from settings: as Beam itself reads them."""

import pathlib
from typing import Any

import pytest
import yaml
from apache_beam.options import pipeline_options as options
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.transforms import environments

from pipeline.beam import arguments, check_local
from pipeline.kubeflow.container.storage import storage_for
from pipeline.kubeflow.workers import unseen
from pipeline.settings import Settings, load_settings, parse_settings

EXAMPLE = pathlib.Path("tests/settings/valid/beam.yaml")
IMAGE = f"registry.example/plant@sha256:{'0123456789abcdef' * 4}"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(EXAMPLE)


def read(settings: Settings, node: str) -> options.PipelineOptions:
    """A node's arguments as Beam reads them, none left over, and valid."""
    parser = options._BeamArgumentParser()
    for cls in options.PipelineOptions.__subclasses__():
        cls._add_argparse_args(parser)
    words = arguments(settings)[node]
    _, unknown = parser.parse_known_args(words)
    assert unknown == []
    found = options.PipelineOptions(words)
    assert not PipelineOptionsValidator(found, None).validate_environment_options(
        found.view_as(options.PortableOptions)
    )
    return found


def changed(beam: dict[str, Any], root: str = "gs://plant/pipeline") -> Settings:
    data = yaml.safe_load(EXAMPLE.read_text())
    data["beam"], data["kubeflow"]["pipeline_root"] = beam, root
    return parse_settings(yaml.safe_dump(data))


def test_every_stage_on_beam_is_told_its_runner(settings):
    runners = {
        node: read(settings, node).view_as(options.StandardOptions).runner
        for node in arguments(settings)
    }
    assert runners == {
        "SqlExampleGen-observations": "FnApiRunner",
        "SensorExampleGen-telemetry": "FnApiRunner",
        "PointInTimeJoin": "FlinkRunner",
        "StatisticsGen": "SparkRunner",
        "Transform": "DataflowRunner",
        "Evaluator": "PortableRunner",
    }


@pytest.mark.parametrize(
    ("node", "mode", "workers"),
    [
        ("SqlExampleGen-observations", "multi_processing", 3),
        ("SensorExampleGen-telemetry", "in_memory", 1),
    ],
)
def test_direct_runs_as_many_processes_as_told(settings, node, mode, workers):
    direct = read(settings, node).view_as(options.DirectOptions)
    assert (direct.direct_running_mode, direct.direct_num_workers) == (mode, workers)


def test_flink_finds_the_workers_that_run_beside_it(settings):
    found = read(settings, "PointInTimeJoin")
    flink = found.view_as(options.FlinkRunnerOptions)
    assert (flink.flink_master, flink.flink_version) == ("flink-jobmanager:8081", "1.19")
    assert flink.flink_submit_uber_jar and flink.parallelism == 8
    environment = environments.Environment.from_options(found.view_as(options.PortableOptions))
    assert environment.url == "localhost:50000"


def test_workers_in_containers_run_the_nodes_own_image(settings):
    found = read(settings, "StatisticsGen")
    environment = environments.Environment.from_options(found.view_as(options.PortableOptions))
    assert environment.container_image == IMAGE
    assert found.view_as(options.PortableOptions).artifact_endpoint == "spark-jobs:8098"
    dataflow = read(settings, "Transform")
    assert dataflow.view_as(options.WorkerOptions).sdk_container_image == IMAGE
    assert dataflow.view_as(options.WorkerOptions).use_public_ips is False
    assert dataflow.view_as(options.GoogleCloudOptions).temp_location == "gs://plant/temp"


def test_a_stock_image_is_sent_the_project(settings):
    found = read(settings, "Evaluator")
    # What Beam makes of it: tests/test_setup.py.
    assert found.view_as(options.SetupOptions).setup_file == "./setup.py"
    assert found.view_as(options.WorkerOptions).sdk_container_image is None
    environment = environments.Environment.from_options(found.view_as(options.PortableOptions))
    assert environment.container_image.startswith("apache/beam_python")


def test_only_workers_on_other_machines_open_buckets_themselves(settings):
    told = arguments(settings)
    assert storage_for(told["PointInTimeJoin"]).local("gs://b/x") == "gs://b/x"
    assert storage_for(told["Evaluator"]).local("gs://b/x") == "gs://b/x"
    assert storage_for(told["SqlExampleGen-observations"]).local("gs://b/x") == "/gcs/b/x"
    loopback = changed(
        {"__default__": {"runner": "portable", "job_endpoint": "j:1", "environment": LOOPBACK}}
    )
    assert storage_for(arguments(loopback)["Transform"]).local("gs://b/x") == "/gcs/b/x"


LOOPBACK = {"kind": "loopback"}
SPARK = {"runner": "spark", "job_endpoint": "spark-jobs:8099"}
EXTERNAL = {"environment": {"kind": "external", "address": "localhost:50000"}}


@pytest.mark.parametrize(
    ("beam", "root", "told"),
    [
        (
            {"Transform": SPARK, "Evaluator": SPARK},
            "minio://plant/artifacts",
            ["which the Beam workers of Transform, Evaluator cannot open: expected 'gs://"],
        ),
        (
            {"SqlExampleGen-observations": SPARK},
            "gs://plant/artifacts",
            ["workers in containers that have no secret, and so no PLANT_DB_URL"],
        ),
        (
            {"SensorExampleGen-telemetry": SPARK},
            "gs://plant/artifacts",
            ["workers in containers that have no volume, and so no sensor files"],
        ),
        ({"__default__": SPARK | EXTERNAL}, "gs://plant/artifacts", []),
        ({"__default__": SPARK | {"environment": LOOPBACK}}, "minio://plant/artifacts", []),
    ],
)
def test_workers_must_see_what_they_read_and_write(beam, root, told):
    problems = [str(problem) for problem in unseen(changed(beam, root))]
    assert len(problems) == len(told)
    for problem, words in zip(problems, told, strict=True):
        assert words in problem


def test_dataflow_cannot_see_a_local_run(settings):
    with pytest.raises(ValueError, match="Transform runs on Dataflow, whose workers cannot open"):
        check_local(settings)
    check_local(changed({}))
