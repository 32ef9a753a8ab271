"""The verb ``init``: looks, proposes, asks, writes, and makes the schema."""

import pathlib
import re
import sys
import zoneinfo
from typing import Any, get_args

import click
from rich.console import Console
from rich.markup import escape

from components.ingest.durations import parse_duration
from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from pipeline.init import before, choose, database, document, parts, proposal, show
from pipeline.init.options import Options, no_such
from pipeline.init.proposal import Choices, Proposal
from pipeline.init.questions import Questions, database_place
from pipeline.settings import Settings, SettingsError, parse_settings
from pipeline.settings.blocks import Task

_CLUSTER = "infra/kubeflow/settings.yaml"


class _Duration(click.ParamType):
    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            return value if isinstance(value, int) else parse_duration(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command()
@click.option("--url-env", metavar="NAME", help="The environment variable with the database's URL.")
@click.option("--url", help="The database's URL, if it holds no password.")
@click.option("--db-schema", metavar="NAME", help="The database's schema; else its default one.")
@click.option("--table", help="Whose rows are the observations.")
@click.option("--query", metavar="SELECT", help="A query whose rows are the observations.")
@click.option("--entity", metavar="COLUMN", help="Which machine, customer or site a row is about.")
@click.option("--time", metavar="COLUMN", help="When an observation was made.")
@click.option("--label", metavar="COLUMN", help="What is predicted: a column of the observations.")
@click.option("--label-events", metavar="TABLE", help="Or that an event of this table comes …")
@click.option(
    "--horizon", type=_Duration(), help="… within this time; how far the label looks ahead."
)
@click.option("--task", type=click.Choice(get_args(Task)), help="Default: by the label's type.")
@click.option("--every", type=_Duration(), help="Observe each entity this often, by a calendar.")
@click.option(
    "--sensor",
    "sensors",
    metavar="PATH",
    multiple=True,
    help="Sensor files: a folder or a glob; may be given several times.",
)
@click.option("--timezone", default="UTC", show_default=True, help="Of times without a zone.")
@click.option("--name", help="The project's name.")
@click.option("--force", is_flag=True, help="Replace settings of your own; a copy stays.")
@click.option("--no-schema", is_flag=True, help="Leave the schema for later.")
@click.option("--yes", is_flag=True, help="Take every proposal.")
@click.pass_obj
def command(
    settings_path: str,
    url_env: str | None,
    url: str | None,
    db_schema: str | None,
    sensors: tuple[str, ...],
    timezone: str,
    name: str | None,
    force: bool,
    no_schema: bool,
    yes: bool,
    **told: Any,
) -> None:
    """Propose settings.yaml and the schema from a database and sensor files.

    Reads a bounded sample of each table, shows what it proposes, asks, and writes. Each question
    has an option; --yes takes what is proposed. Ctrl-C leaves all as it was.
    """
    console = Console()
    path = pathlib.Path(settings_path)
    questions = Questions(yes)
    try:
        if not force and not document.may_replace(path):
            raise DataError(
                "init",
                str(path),
                "these settings are your own, and would be replaced",
                "Say --force (a copy stays), or write others: --settings other.yaml",
            )
        if timezone not in zoneinfo.available_timezones():
            no_such("--timezone", timezone, sorted(zoneinfo.available_timezones()))
        if not (url or url_env):
            url_env = before.variable(path)
        place = database_place(url, url_env, questions)
        source = database.database(*place, timezone)
        proposed = _propose(
            console, source, db_schema, Options(**told), sensors, path, name, questions
        )
        settings = _written(console, path, proposed, force, questions)
        if settings is None:
            sys.exit(1)
        sys.exit(_afterwards(console, path, settings, not no_schema, questions))
    except (click.Abort, KeyboardInterrupt):
        console.print("\n[yellow]Stopped.[/] What was not reported as written was not written.")
        sys.exit(130)
    except (DataError, SettingsError, ValueError) as error:
        text = str(error).removeprefix("init: ").removeprefix("database: ")
        console.print(f"[bold red]✗[/] {escape(text)}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _propose(
    console: Console,
    source: SqlSource,
    db_schema: str | None,
    options: Options,
    sensors: tuple[str, ...],
    path: pathlib.Path,
    name: str | None,
    questions: Questions,
) -> Proposal:
    write = database.writer(source)
    with console.status("looking …") as status:
        tables, others = database.look(
            source,
            db_schema,
            options,
            lambda table: status.update(f"looking at {escape(table)} …"),
        )
    if not tables:
        refused = "; ".join(f"{table}: {why}" for table, why in others.items())
        raise DataError(
            "init",
            "database",
            f"no table can be read ({refused or 'there is none'})",
            "Check that the URL names the right database, --db-schema, and the user's rights",
        )
    found = parts.find(source, tables, others, options, questions)
    show.tables(console, found, others)
    start = before.start(path)
    if not (sensors or questions.yes or before.without_sensors(start)):
        answer = questions.ask("Sensor files: a folder or a glob (Enter for none)", "")
        sensors = (answer,) if answer else ()
    label, task, spine = choose.label(
        source, found, options, questions, lambda text: console.print(escape(text))
    )
    step = choose.step(found, label.horizon, options, questions) if spine is None else 0
    project = name or _project_name(path)
    if not (name or start):
        project = questions.ask("Project name", project, _check_name)
    with console.status("proposing …"):
        return proposal.propose(
            Choices(project, source, label, task, spine, step, sensors), found, write
        )


def _written(
    console: Console, path: pathlib.Path, proposed: Proposal, force: bool, questions: Questions
) -> Settings | None:
    """Shows the proposal and writes it, if that is agreed to; the cluster's settings follow."""
    if path.stem != "settings":
        # Other settings than the project's own: its schema is not theirs.
        proposed.settings["schema"] = f"schemas/{path.stem}.pbtxt"
    content = before.keep_choices(path, proposed.settings)
    text = document.settings_text(content, proposed.live)
    settings = parse_settings(text, str(path))
    show.uses(console, proposed.uses)
    console.print(
        "  [dim]Is each of these known at the observation's time? Leave out what is not.[/]\n"
    )
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    if not questions.confirm(f"Write this to {path}?"):
        console.print("Nothing was written.")
        return None
    schema = pathlib.Path(settings.schema_file)
    texts = {path: text}
    there = path.parent / _CLUSTER if path.name == "settings.yaml" else None
    if there is not None and (force or document.may_replace(there)):
        followed = before.cluster_text(there, proposed.settings, proposed.live)
        if followed is not None:
            parse_settings(followed, str(there))
            texts[there] = followed
    for file in (*texts, schema):
        copy = document.keep(file)
        if copy is not None:
            console.print(f"[dim]{file} is kept as {copy}[/]")
    for file, written in texts.items():
        document.write(file, written)
    # The schema belongs to the settings that were: a new one is made from the data.
    schema.unlink(missing_ok=True)
    console.print(f"[green]✓[/] {escape(' and '.join(map(str, texts)))} written")
    return settings


def _afterwards(
    console: Console, path: pathlib.Path, settings: Settings, schema: bool, questions: Questions
) -> int:
    """Tries the sources, makes the schema, and says what comes next."""
    from pipeline.check import check

    if check(settings, console):
        console.print(f"Mend {path}, then: python -m pipeline check", soft_wrap=True)
        return 1
    wanted = schema and questions.confirm(
        "Make the schema now? All data are read, joined and counted once, by TFX"
    )
    if not wanted:
        console.print("Next: python -m pipeline schema infer, then schema accept, then run")
        return 0
    from pipeline.local.command import run
    from pipeline.schema.verbs import accept, infer

    code = run(str(path), console, to_nodes=["StatisticsGen"])
    if code:
        console.print(f"{path} is written. When this is mended: python -m pipeline schema infer")
        return code
    quiet = Console(quiet=True)
    infer(settings, quiet, afresh=True)
    accept(settings, quiet, yes=True)
    console.print(f"[green]✓[/] {settings.schema_file} written: read it, commit it")
    console.print("Next: [bold]make run[/] (or python -m pipeline run)")
    return 0


def _project_name(path: pathlib.Path) -> str:
    """The name that the settings there have, else the folder's."""
    found = None
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^project:\s*\{?\s*name:\s*([a-z0-9-]+)", text, re.MULTILINE)
    name = found[1] if found else path.absolute().parent.name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63]
    return plain if plain[:1].isalpha() else f"project-{plain}".strip("-")


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise ValueError("expected lower-case letters, digits and hyphens, such as plant-failures")
    return name
