"""TFX's own pipeline from CSV files to a pushed model, with the stock components and runner.

The peer of ``local_loop``: ``python -m benchmarks.stock_pipeline CSV_FOLDER WORK_FOLDER SETTINGS``.
"""

import pathlib
import sys


def main(csv: str, work: str, settings_path: str) -> None:
    """Runs it.

    Args:
      csv: a folder with the files ``train.csv`` and ``eval.csv``.
      work: where everything is written.
      settings_path: what is trained and evaluated, and how.
    """
    from tfx import v1 as tfx

    from components.curated_schema import schema_file
    from components.model_evaluator.config import eval_config
    from pipeline.settings import load_settings

    settings = load_settings(pathlib.Path(settings_path))
    schema = schema_file.read_schema(settings.schema_file)
    config = {"config": settings.trainer_config(schema_file.columns(schema))}
    split = tfx.proto.Input.Split
    read = tfx.components.CsvExampleGen(
        input_base=csv,
        input_config=tfx.proto.Input(
            splits=[split(name=name, pattern=f"{name}.csv") for name in ("train", "eval")]
        ),
    )
    statistics = tfx.components.StatisticsGen(examples=read.outputs["examples"])
    imported = tfx.components.ImportSchemaGen(schema_file=settings.schema_file)
    validated = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=imported.outputs["schema"]
    )
    transformed = tfx.components.Transform(
        examples=read.outputs["examples"],
        schema=imported.outputs["schema"],
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        custom_config=config,
    )
    trained = tfx.components.Trainer(
        run_fn="trainer.run.run_fn",
        examples=transformed.outputs["transformed_examples"],
        transform_graph=transformed.outputs["transform_graph"],
        schema=imported.outputs["schema"],
        train_args=tfx.proto.TrainArgs(num_steps=0),
        eval_args=tfx.proto.EvalArgs(num_steps=0),
        custom_config=config,
    )
    evaluated = tfx.components.Evaluator(
        examples=read.outputs["examples"],
        model=trained.outputs["model"],
        schema=imported.outputs["schema"],
        eval_config=eval_config(
            settings.label.name, settings.label.task, settings.evaluation.model_dump()
        ),
    )
    pushed = tfx.components.Pusher(
        model=trained.outputs["model"],
        model_blessing=evaluated.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=f"{work}/serving")
        ),
    )
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="stock",
            pipeline_root=f"{work}/pipeline",
            metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                f"{work}/metadata.db"
            ),
            components=[
                read,
                statistics,
                imported,
                validated,
                transformed,
                trained,
                evaluated,
                pushed,
            ],
            # Left alone, newer Beams look for a runner to download.
            beam_pipeline_args=["--runner=FnApiRunner"],
            enable_cache=False,
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
