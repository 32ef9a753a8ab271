"""The verb ``predict``: what the released model says of an entity, or of a stretch of time."""

import contextlib
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from components.ingest.durations import format_age, format_instant, parse_instant
from components.ingest.errors import DataError
from pipeline.settings import Settings, SettingsError, load_settings
from serving.online.errors import PredictionError

if TYPE_CHECKING:
    from serving.online.client import Prediction, PredictionClient
    from serving.online.features import Features

SERVER = "http://127.0.0.1:8501"
_LOADING_SECONDS = 60.0


@click.command()
@click.option("--entity", help="Whom to predict for.")
@click.option("--at", help="At which time, ISO 8601; the settings' as_of if left out.")
@click.option(
    "--show-features", "--explain", is_flag=True, help="Print what the model was given, too."
)
@click.option("--body", is_flag=True, help="Print the request for curl instead of asking.")
@click.option("--from", "begin", help="Instead of one entity: all rows from this time on,")
@click.option("--to", "end", help="… and before this one.")
@click.option(
    "--output", help="Where these go: a file that ends in .parquet, or a database's table."
)
@click.option(
    "--output-url-env",
    help="The environment variable with the URL of the table's database; the spine's if left out.",
)
@click.option("--server", default=SERVER, show_default=True, help="http://…, or grpc://….")
@click.option("--in-process", is_flag=True, help="Score rows without a server: load the version.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for an answer.")
@click.pass_obj
def command(
    settings_path: str,
    entity: str | None,
    at: str | None,
    show_features: bool,
    body: bool,
    begin: str | None,
    end: str | None,
    output: str | None,
    output_url_env: str | None,
    server: str,
    in_process: bool,
    timeout: float,
) -> None:
    """Fetch the features as training does, and ask the model.

    Either --entity with or without --at, or --from, --to and --output.
    """
    console = Console(highlight=False)
    many = (begin, end, output)
    if (entity is None) == (None in many) or (entity is not None and any(many)):
        raise click.UsageError("expected --entity [--at], or --from, --to and --output")
    try:
        settings = load_settings(pathlib.Path(settings_path))
        if entity is not None:
            if server.startswith("http"):
                _do_without_pandas()
            if body:
                _body(settings, entity, at, server, timeout)
            else:
                _one(settings, console, entity, at, server, timeout, show_features)
            return
        first, last = (_instant("--from", begin), _instant("--to", end))
        if not first < last:
            raise click.UsageError("--from must lie before --to")
        scorer = None if in_process else server
        _range(settings, console, first, last, str(output), output_url_env, scorer, timeout)
    except (SettingsError, DataError, PredictionError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        if isinstance(error, PredictionError) and error.code == "UNAVAILABLE":
            console.print(
                "Does a server run, and listen by now? python -m pipeline serve", soft_wrap=True
            )
        sys.exit(1)


def _one(
    settings: Settings,
    console: Console,
    entity: str,
    at: str | None,
    server: str,
    timeout: float,
    show: bool,
) -> None:
    instant, features = _features(settings, entity, at)
    begun = time.perf_counter()
    with _client(server, settings, timeout) as client:
        prediction = client.predict(features.table)
    seconds = time.perf_counter() - begun
    spine = settings.spine_source
    console.print(f"{spine.entity} {entity} at {format_instant(instant)}", markup=False)
    for name, value in sorted(_outputs(prediction).items()):
        console.print(f"  {name} {value}", markup=False, soft_wrap=True)
    console.print(
        f"  by version {prediction.version} of {settings.serving.model}, {server}, "
        f"request {prediction.request_id}",
        markup=False,
        soft_wrap=True,
    )
    _print_sources(console, settings.spine, features, instant)
    spent = " ".join(f"{name} {1000 * s:.0f}" for name, s in features.seconds.items())
    console.print(f"Milliseconds: {spent} server {1000 * seconds:.0f}", style="dim", soft_wrap=True)
    if show:
        console.print("Features")
        for name in features.table.column_names:
            shown = features.table[name][0].as_py()
            text = shown.decode(errors="replace") if isinstance(shown, bytes) else shown
            console.print(f"  {name} {'-' if text is None else text}", markup=False)


def _body(settings: Settings, entity: str, at: str | None, server: str, timeout: float) -> None:
    _, features = _features(settings, entity, at)
    with _client(server, settings, timeout) as client:
        click.echo(client.body(features.table))


def _features(settings: Settings, entity: str, at: str | None) -> tuple[int, "Features"]:
    from serving.online.features import FeatureReader

    instant = _default_time(settings) if at is None else _instant("--at", at)
    return instant, FeatureReader(settings, _index_folder(settings)).at(entity, instant)


class _NoPandas:
    """An import hook by which pandas is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("predict does without it", name=name)


def _do_without_pandas() -> None:
    # Arrow would import it to see whether a list of values is a series, which takes longer than all
    # the rest of a prediction. Where the import fails, Arrow does without.
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())


def _print_sources(console: Console, spine: str, features: "Features", instant: int) -> None:
    console.print("Newest datum used")
    newest = {spine: features.spine_times, **features.newest}
    for name, times in newest.items():
        found = int(times[0])
        if found < 0:
            console.print(f"  {name} none", markup=False)
            continue
        age = instant - found
        told = "at that time" if not age else f"{format_age(age)} before"
        console.print(f"  {name} {format_instant(found)}, {told}", markup=False, soft_wrap=True)


def _range(
    settings: Settings,
    console: Console,
    begin: int,
    end: int,
    output: str,
    url_env: str | None,
    server: str | None,
    timeout: float,
) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from serving.online.batch import score_range
    from serving.online.features import FeatureReader
    from serving.online.scorers import model_scorer, server_scorer
    from serving.online.sinks import parquet_sink, table_sink

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    model, column = settings.serving.model, settings.spine_source.time
    reader = FeatureReader(settings, _index_folder(settings))
    with contextlib.ExitStack() as stack:
        if server is None:
            score = model_scorer(_stable_folder(settings))
        else:
            client = stack.enter_context(_client(server, settings, timeout))
            score = server_scorer(client)
        if output.endswith(".parquet"):
            made: Any = parquet_sink(pathlib.Path(output), column, begin, end)
        else:
            made = table_sink(_database(settings, url_env), output, model, column, begin, end)
        sink = stack.enter_context(made)
        progress = stack.enter_context(Progress(*columns, console=console, transient=True))
        task = progress.add_task("scoring", total=1.0)

        def tell(share: float, rows: int) -> None:
            progress.update(task, completed=share, description=f"{rows:,} rows")

        scored = score_range(reader, score, sink, begin, end, model=model, progress=tell)
    by = ", ".join(f"{rows:,} by version {n}" for n, rows in sorted(scored.versions.items()))
    console.print(
        f"{scored.rows:,} predictions in {output}" + (f": {by}" if by else ""),
        markup=False,
        soft_wrap=True,
    )


@contextlib.contextmanager
def _client(server: str, settings: Settings, timeout: float) -> "Iterator[PredictionClient]":
    """A client of a server that has loaded the model."""
    from serving.online.client import PredictionClient

    spine = settings.spine_source
    observed = (spine.entity, spine.time)
    try:
        client = PredictionClient(
            server, settings.serving.model, timeout=timeout, observed=observed
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--server") from None
    with client:
        client.wait_until_loaded(_LOADING_SECONDS, lambda line: click.echo(line, err=True))
        yield client


def _outputs(prediction: "Prediction") -> dict[str, Any]:
    """A row's outputs as people read them."""
    shown = {}
    for name, values in prediction.outputs.items():
        value = values[0].tolist() if hasattr(values[0], "tolist") else values[0]
        items = value if isinstance(value, list) else [value]
        texts = [
            i.decode(errors="replace")
            if isinstance(i, bytes)
            else f"{i:.6g}"
            if isinstance(i, float)
            else str(i)
            for i in items
        ]
        shown[name] = " ".join(texts)
    return shown


def _instant(option: str, text: str | None) -> int:
    try:
        return parse_instant(str(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from None


def _default_time(settings: Settings) -> int:
    if settings.as_of == "now":
        return time.time_ns() // 1000
    if settings.as_of == "latest":
        from components.ingest import sql

        return sql.latest(settings.spine, settings.spine_source)
    return parse_instant(settings.as_of)


def _index_folder(settings: Settings) -> pathlib.Path:
    return pathlib.Path(settings.run.directory) / "online"


def _stable_folder(settings: Settings) -> pathlib.Path:
    from serving.releases import ReleaseError, Releases

    try:
        version = Releases(settings.serving.model_directory).stable()
    except ReleaseError as error:
        raise PredictionError("NOT_FOUND", str(error)) from None
    if version is None:
        raise PredictionError(
            "NOT_FOUND",
            f"no version in {settings.serving.model_directory} yet: python -m pipeline run",
        )
    return version.path


def _database(settings: Settings, url_env: str | None) -> Any:
    from components.ingest.sql.connect import database_url

    spine = settings.spine_source
    if url_env is not None:
        spine = spine.model_copy(update={"url_env": url_env, "url": None})
    return database_url("--output", spine)
