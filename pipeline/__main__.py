"""The command line: ``python -m pipeline VERB``.

Verbs are imported when they are called, so that help and light verbs answer at once.
"""

import importlib
import sys

import click

_VERBS = {
    # verb: (module:command, what the list of verbs says)
    "doctor": (
        "pipeline.doctor:command",
        "Say what this machine has and lacks.",
    ),
    "init": ("pipeline.init:command", "Propose settings and schema from your own data."),
    "check": ("pipeline.check:command", "Validate settings and try each source."),
    "demo": ("pipeline.demo:command", "Make the simulated plant's data."),
    "collect": (
        "pipeline.collect.command:command",
        "Collect sensor readings from MQTT or Kafka.",
    ),
    "run": ("pipeline.local.command:command", "Run the pipeline on this machine."),
    "backfill": ("pipeline.backfill:command", "Read and keep the days of a range."),
    "schema": ("pipeline.schema:command", "Infer, compare and accept the data's schema."),
    "report": ("pipeline.report.command:command", "Write a page about a run."),
    "tensorboard": ("pipeline.tensorboard:command", "Show how runs trained, in TensorBoard."),
    "ui": ("pipeline.ui:command", "Show runs and versions in the browser, and move versions."),
    "versions": ("pipeline.versions:command", "List the model's released versions."),
    "promote": ("pipeline.releases:promote", "Make a version the one that serves."),
    "rollback": ("pipeline.releases:rollback", "Take the newest change of what serves back."),
    "registry": ("pipeline.registry:command", "Make MLflow equal to the release record."),
    "rollout": ("pipeline.rollout:command", "Move traffic to a new version by its metrics."),
    "serve": ("pipeline.serve:command", "Serve the released versions on this machine."),
    "predict": ("pipeline.predict:command", "Ask for an entity's prediction, or for many."),
    "monitor": ("pipeline.monitor.command:command", "Compare what is served with training."),
    "compile": (
        "pipeline.kubeflow.command:command",
        "Compile the pipeline for Kubeflow or Vertex AI.",
    ),
    "submit": ("pipeline.kubeflow.submit.command:command", "Run it on Kubeflow or Vertex AI."),
}


class LazyGroup(click.Group):
    """A click group that imports a verb's module when the verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which a new user needs them."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the verb's command."""
        if cmd_name not in _VERBS:
            return None
        module, attribute = _VERBS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in _VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--settings",
    "settings_path",
    default="settings.yaml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The settings file.",
)
@click.pass_context
def main(ctx: click.Context, settings_path: str) -> None:
    """From SQL and sensor data to a checked, released model."""
    ctx.obj = settings_path


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m pipeline"))
