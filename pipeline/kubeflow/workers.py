"""What Beam's workers see where they are not the task's own processes."""

from collections.abc import Iterator

from components.ingest.paths import is_remote
from components.ingest.sensor.source import SensorSource
from pipeline.nodes import beam_node_ids, example_gen_id
from pipeline.settings import Problem, Settings
from pipeline.settings.beam import Dataflow, Direct, Docker, Loopback, Runner


def unseen(settings: Settings) -> Iterator[Problem]:
    """Every node whose workers would not find their input, or where to write.

    Kubeflow's launcher brings artifacts into the task's container, whose folders no other machine
    sees; only ``gs://`` is opened by workers themselves.

    Args:
      settings: the project's settings, with ``kubeflow``.
    """
    assert settings.kubeflow is not None
    root = settings.kubeflow.pipeline_root
    away = {name: settings.beam_runner(name) for name in beam_node_ids(settings)}
    away = {name: runner for name, runner in away.items() if not _stays(runner)}
    if away and not root.startswith("gs://"):
        yield Problem(
            ("kubeflow", "pipeline_root"),
            f" is {root!r}, which the Beam workers of {', '.join(away)} cannot open: expected "
            "'gs://bucket/folder', or under beam the runner 'direct' for them",
        )
    for source_name, source in settings.sources.items():
        name = example_gen_id(settings, source_name)
        if name not in away or not _is_bare(away[name]):
            continue
        secret = settings.kubeflow.node(name).secrets
        held = [variable for variable in source.variables if variable in secret]
        if isinstance(source, SensorSource):
            if all(map(is_remote, source.paths)):
                continue
            why = "no volume, and so no sensor files"
        elif held:
            why = f"no secret, and so no {held[0]}"
        else:
            continue
        yield Problem(
            ("beam", name if name in settings.beam else "__default__"),
            f"gives {name} workers in containers that have {why}: expected 'direct' for this node, "
            "or an environment of kind 'external' whose containers have it",
        )


def _stays(runner: Runner) -> bool:
    return isinstance(runner, Direct) or isinstance(getattr(runner, "environment", None), Loopback)


def _is_bare(runner: Runner) -> bool:
    """Whether the runner starts its workers' containers, and gives them nothing."""
    return isinstance(runner, Dataflow) or isinstance(getattr(runner, "environment", None), Docker)
