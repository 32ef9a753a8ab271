"""What a run on a cluster is given: nothing that is known only once it runs."""

import pathlib

from tfx.orchestration.data_types import RuntimeParameter

from components.curated_schema import schema_file
from pipeline import beam, lineage
from pipeline.definition import RunInputs
from pipeline.kubeflow.run_values import AS_OF
from pipeline.settings import Settings


def run_inputs(settings: Settings, path: pathlib.Path, pipeline_root: str) -> RunInputs:
    """What the definition is compiled with for a cluster.

    ``as_of`` is a parameter of the run. Watermarks and the release record's state tell a cache
    what it cannot see; the stages that they stand for are not cached here.

    Args:
      settings: the project's settings.
      path: the file that they come from.
      pipeline_root: the bucket of the artifacts.

    Raises:
      components.curated_schema.schema_file.SchemaError: if there is no schema to train by.
    """
    schema = schema_file.read_schema(settings.schema_file)
    return RunInputs(
        as_of=RuntimeParameter(name=AS_OF, ptype=str, default=settings.as_of),
        watermarks=dict.fromkeys(settings.sources, ""),
        release_state="",
        schema_fingerprint=schema_file.fingerprint(settings.schema_file),
        trainer_config=settings.trainer_config(schema_file.columns(schema)),
        lineage=lineage.made_from(settings, path),
        pipeline_root=pipeline_root,
        metadata_path=None,
        beam_args=beam.arguments(settings),
        cache=False,
    )
