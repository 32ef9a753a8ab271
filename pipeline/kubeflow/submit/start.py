"""What a run is started with: the package, and the values of its parameters."""

import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

from components.ingest.durations import format_instant, parse_instant
from pipeline.kubeflow.readiness import check_ready
from pipeline.kubeflow.run_values import AS_OF
from pipeline.kubeflow.submit.backend import Package
from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.values import run_values
from pipeline.settings import Settings

CREATED = "[[CurrentTime.2006-01-02T15:04:05Z]]"
"""What KFP writes the time at which it makes a run in the place of, once for all its stages.

``[[ScheduledTime…]]`` would stay as it is: the controller that makes recurring runs does not say
for when (controller.go, CreateRun).
"""


def check(settings: Settings, path: pathlib.Path, *, allow_unpinned: bool) -> None:
    """Refuses settings that could not run, before a server is asked and TFX imported.

    Raises:
      SettingsError: with every problem.
    """
    assert settings.kubeflow is not None
    check_ready(settings, path, settings.kubeflow.backend, allow_unpinned=allow_unpinned)


def compiled(settings: Settings, path: pathlib.Path, *, allow_unpinned: bool) -> Package:
    """Compiles the definition.

    Args:
      settings: the project's settings.
      path: the file that they come from.
      allow_unpinned: takes an image that is named by a tag.

    Raises:
      SubmitError: if it cannot be compiled.
    """
    # Imported here: it imports TFX, and a wrong host or login is told before.
    from components.curated_schema.schema_file import SchemaError
    from pipeline.kubeflow.command import quiet_libraries

    assert settings.kubeflow is not None
    backend = settings.kubeflow.backend
    try:
        with quiet_libraries():
            from pipeline.kubeflow.compile import FILES, compile_pipeline

            made = compile_pipeline(settings, path, backend, allow_unpinned=allow_unpinned)
    except (SchemaError, OSError, ValueError) as error:
        raise SubmitError(str(error)) from error
    return Package.read(made.text, FILES[backend])


def read(settings: Settings, file: pathlib.Path) -> Package:
    """Takes a package that was compiled before.

    It frees submit from TFX: an environment of its own with any kfp 2.x will do.

    Args:
      settings: say what it was compiled for.
      file: the package.

    Raises:
      SubmitError: if it is none, or one that the backend would refuse.
    """
    # Imported here: it imports kfp.
    from pipeline.kubeflow.acceptance import NotAcceptedError, check_accepted

    assert settings.kubeflow is not None
    text = file.read_text(encoding="utf-8")
    package = Package.read(text, str(file))
    try:
        check_accepted(settings.kubeflow.backend, text)
    except NotAcceptedError as error:
        raise SubmitError(f"{file}: {error}") from None
    return package


def values(
    settings: Settings,
    package: Package,
    as_of: str | None,
    pairs: Sequence[str],
    *,
    recurring: bool,
) -> dict[str, Any]:
    """The run's parameters.

    A recurring run stands at the time that it was scheduled for, not at the settings'. ``now`` is
    the moment of submission, so that it is one instant for all stages on every release of KFP.

    Args:
      settings: the project's settings.
      package: has the parameters' types and defaults.
      as_of: what ``--as-of`` says.
      pairs: what ``-p`` says, ``name=value`` each.
      recurring: whether they are for a recurring run.

    Raises:
      SubmitError: if a value is missing or cannot be used.
    """
    assert settings.kubeflow is not None
    given = {pair.partition("=")[0] for pair in pairs}
    if AS_OF not in package.parameters or AS_OF in given:
        if as_of is not None:
            raise SubmitError(
                "--as-of and -p as_of=… are one and the same: say one"
                if AS_OF in given
                else "--as-of: the pipeline has no parameter as_of"
            )
        return run_values(pairs, package.parameters)
    if recurring and as_of is None and settings.kubeflow.backend == "kfp":
        text = CREATED
    elif recurring and as_of is None:
        # Vertex AI's schedules write no times into parameters; there the run asks when it began.
        text = "now"
        if settings.as_of != "now":
            raise SubmitError(
                f"as_of is {settings.as_of!r} in the settings: a recurring run on Vertex AI needs "
                "a package that was compiled with as_of: now"
            )
    else:
        text = _instant(settings, as_of or settings.as_of)
    return run_values([*pairs, f"{AS_OF}={text}"], package.parameters)


def _instant(settings: Settings, text: str) -> str:
    if text == "latest":
        # Imported here: it asks the database.
        from components.ingest.errors import DataError
        from pipeline.local.plan import resolve_as_of

        try:
            return format_instant(resolve_as_of(settings, text))
        except DataError as error:
            raise SubmitError(f"--as-of latest: {error}") from None
    if text == "now":
        text = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat()
    try:
        return format_instant(parse_instant(text))
    except ValueError as error:
        raise SubmitError(f"--as-of {text!r}: {error}, or 'now' or 'latest'") from None
