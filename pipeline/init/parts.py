"""Which entity the tables share, and the part that each of them plays."""

import re
from collections.abc import Sequence

from components.ingest.errors import DataError
from components.ingest.sources import SqlSource
from pipeline.init import database, judge
from pipeline.init.facts import Table
from pipeline.init.judge import Part
from pipeline.init.options import Options, no_such
from pipeline.init.questions import Questions


def find(
    source: SqlSource,
    tables: Sequence[Table],
    others: dict[str, str],
    options: Options,
    questions: Questions,
) -> list[Part]:
    """Finds the entity and the part that each table plays.

    Args:
      source: the database.
      tables: what was looked at.
      others: takes in the tables that have no part, with the reason.
      options: what is told.
      questions: asks for the entity where several are likely.

    Raises:
      DataError: if no column is the entity, or no table holds times.
    """
    columns = _entity(tables, options, questions)
    lone = all(t.columns[columns[t.name]].unique for t in tables if t.name in columns)
    found = []
    for table in tables:
        entity = columns.get(table.name)
        if entity is None:
            others[table.name] = _unjoined(table, columns, tables)
            continue
        times = judge.times_of(table, options.time)
        told = table.name in (options.table, "query")
        repeats = not table.columns[entity].unique
        if times is not None and (repeats or told or lone):
            course = database.course(source, table, entity, times.time)
            role = "observations" if told or lone else judge.role_of(table, course)
            if role != "events" and _read_by(options.query, table.name):
                # Its row of the observation's own time may be what the label was made of.
                others[table.name] = "the query reads it"
                continue
            found.append(Part(table, role, entity, times, course))
        elif repeats:
            others[table.name] = f"several rows of one {entity}, and no time that tells when"
        elif _read_by(options.query, table.name):
            others[table.name] = "the query reads it"
        else:
            found.append(Part(table, "attributes", entity))
    if options.time and not any(p.times and p.times.time == options.time for p in found):
        times_there = [c.name for t in tables for c in t.columns.values() if c.kind == "time"]
        no_such("--time", options.time, times_there)
    if not any(part.course for part in found):
        raise DataError(
            "init",
            "tables",
            "no table of the entity has a column of times",
            "Times are timestamps, dates, ISO 8601 text, or seconds since 1970; name the column by "
            "--time, or cast it in a query of your own: --query",
        )
    return found


def _entity(tables: Sequence[Table], options: Options, questions: Questions) -> dict[str, str]:
    if options.entity is not None:
        columns = judge.named_entity(tables, options.entity)
        if not columns:
            no_such("--entity", options.entity, [c for t in tables for c in t.columns])
        return columns
    found = judge.entities(tables)
    if not found:
        raise DataError(
            "init",
            "tables",
            "no column tells which machine, customer or site a row is about",
            "Name it by --entity COLUMN; where all rows are about one thing, give a query that "
            'says so: --query "SELECT 1 AS plant, … FROM …" --entity plant',
        )
    by_name = {next(iter(columns.values())): columns for columns in reversed(found)}
    text = "Which column is the entity: the machine, customer or site that rows are about"
    return by_name[questions.among(text, list(reversed(by_name)), "--entity")]


def _read_by(query: str | None, table: str) -> bool:
    return query is not None and bool(re.search(rf"\b{re.escape(table)}\b", query, re.IGNORECASE))


def _unjoined(table: Table, columns: dict[str, str], tables: Sequence[Table]) -> str:
    entity = next(iter(columns.values()))
    for other in tables:
        shared = set(other.columns) & set(table.columns)
        if other.name in columns and (ways := sorted(shared - set(columns.values()))):
            why = f"no column {entity}; {other.name} shares {', '.join(ways[:3])} with it, so that"
            return f"{why} a query of your own can join it"
    return f"no column {entity}"
