"""What a log record must be, for tests of all that writes some."""

import json
import pathlib
from collections.abc import Iterable
from typing import Any

import jsonschema

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "infra/logging/record.schema.json"


def read(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The records, each of which has been held against the schema."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    records = [json.loads(line) for line in lines]
    for record in records:
        validator.validate(record)
    return records
