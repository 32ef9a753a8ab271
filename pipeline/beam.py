"""Beam's arguments for each stage that runs on it, here and in the compiled package alike."""

from pipeline.nodes import beam_node_ids
from pipeline.settings import Settings
from pipeline.settings.beam import Dataflow, Direct, Docker, External, Flink, Portable, Runner

# Where a node is told no image, one that is never used: without a word about where workers have
# their code from, TFX packs itself into an archive for each stage (dependency_utils).
_NO_IMAGE = "--sdk_container_image=local"


def arguments(settings: Settings) -> dict[str, list[str]]:
    """The arguments by node.

    The runner is always named, since Beam's DirectRunner first tries to download another one.
    """
    return {
        name: [
            *_arguments(settings.beam_runner(name), settings, name),
            "--no_pipeline_type_check",
        ]
        for name in beam_node_ids(settings)
    }


def check_local(settings: Settings) -> None:
    """Refuses a runner that no run on this machine can use.

    Raises:
      ValueError: for the first such node.
    """
    for name in beam_node_ids(settings):
        if isinstance(settings.beam_runner(name), Dataflow):
            raise ValueError(
                f"beam: {name} runs on Dataflow, whose workers cannot open {settings.run.directory}"
                ", where a local run keeps its data: expected 'direct' here; compile for Kubeflow "
                "or Vertex AI with a pipeline_root in gs://"
            )


def worker_image(settings: Settings, name: str, told: Docker | Dataflow) -> str | None:
    """The image of a node's workers: as told, else the node's own; None is Beam's stock image."""
    if told.image or told.setup_file or settings.kubeflow is None:
        return told.image
    return settings.kubeflow.node(name).image or settings.kubeflow.image


def _arguments(runner: Runner, settings: Settings, name: str) -> list[str]:
    if isinstance(runner, Direct):
        return _direct(runner.workers or settings.run.beam_workers)
    if isinstance(runner, Dataflow):
        return [*_dataflow(runner), *_code(settings, name, runner)]
    if isinstance(runner, Flink):
        told = [
            "--runner=FlinkRunner",
            f"--flink_master={runner.master}",
            f"--flink_version={runner.version}",
            "--flink_submit_uber_jar",
            *_optional("parallelism", runner.parallelism),
            *_optional("flink_job_server_jar", runner.job_server_jar),
        ]
    else:
        told = _portable(runner)
    return [*told, *_environment(runner, settings, name)]


def _direct(workers: int) -> list[str]:
    # With one worker Beam runs in the stage's own process, which is quickest for small data.
    mode = "in_memory" if workers == 1 else "multi_processing"
    return [
        "--runner=FnApiRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        _NO_IMAGE,
    ]


def _portable(runner: Portable) -> list[str]:
    return [
        f"--runner={'SparkRunner' if runner.runner == 'spark' else 'PortableRunner'}",
        f"--job_endpoint={runner.job_endpoint}",
        *_optional("artifact_endpoint", runner.artifact_endpoint),
        f"--sdk_worker_parallelism={runner.parallelism}",
    ]


def _dataflow(runner: Dataflow) -> list[str]:
    return [
        "--runner=DataflowRunner",
        f"--project={runner.project}",
        f"--region={runner.region}",
        f"--temp_location={runner.temp_location}",
        *_optional("worker_machine_type", runner.machine_type),
        *_optional("max_num_workers", runner.max_workers),
        *_optional("service_account_email", runner.service_account),
        *_optional("subnetwork", runner.subnetwork),
        *([] if runner.public_ips else ["--no_use_public_ips"]),
    ]


def _environment(runner: Portable | Flink, settings: Settings, name: str) -> list[str]:
    environment = runner.environment
    if isinstance(environment, Docker):
        image = worker_image(settings, name, environment)
        return [
            "--environment_type=DOCKER",
            *_optional("environment_option", image and f"docker_container_image={image}"),
            *_code(settings, name, environment),
        ]
    if isinstance(environment, External):
        # As environment_option, which Beam recommends, Beam 2.74 fails to read it.
        address = f"--environment_config={environment.address}"
        return ["--environment_type=EXTERNAL", address, _NO_IMAGE]
    return ["--environment_type=LOOPBACK", _NO_IMAGE]


def _code(settings: Settings, name: str, told: Docker | Dataflow) -> list[str]:
    """Where workers in a container have the project's code from."""
    image = worker_image(settings, name, told)
    return [
        *_optional("sdk_container_image", image),
        # Beam's own code is in every image: none is sent.
        "--sdk_location=container",
        *(["--setup_file=./setup.py"] if told.setup_file else []),
    ]


def _optional(option: str, value: object) -> list[str]:
    return [] if value is None else [f"--{option}={value}"]
