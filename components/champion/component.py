"""Champion: hands on the model that serves now.

The baseline of an evaluation is what users get, so it is read from the release record. Nothing is
looked up in ML Metadata: "the newest blessed" may never have served, and open-source Kubeflow
Pipelines has no Resolver.
"""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.champion import executor


class ChampionSpec(component_spec.ComponentSpec):
    """Parameters and outputs of Champion."""

    PARAMETERS: dict[str, Any] = {  # noqa: RUF012
        "directory": component_spec.ExecutionParameter(type=str),
        "release_state": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS: dict[str, Any] = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
    }


class Champion(base_component.BaseComponent):
    """Hands on the model that serves now and the statistics of the examples it was trained on.

    Outputs:
      model: the champion as TFX lays a model out (``Format-Serving/``), and ``champion.json``:
        ``{"version": n or null, ...}`` with what its release tells. Without a champion only
        ``champion.json`` is there.
      statistics: as StatisticsGen wrote them (``Split-*/FeatureStats.pb``), and
        ``champion.json``. Without a champion, or without statistics of it, only
        ``champion.json`` is there and no split is named.
    """

    SPEC_CLASS = ChampionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, directory: str, release_state: str, code: str) -> None:
        """Makes the component.

        Args:
          directory: the served model's folder, ``<serving.directory>/<serving.model>``.
          release_state: ``serving.releases.Releases(directory).state()`` at the run's start: what
            serves is an input that the cache must know of.
          code: a fingerprint of the code, part of the cache's key.
        """
        super().__init__(
            spec=ChampionSpec(
                directory=directory,
                release_state=release_state,
                code=code,
                model=types.Channel(type=standard_artifacts.Model),
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
