"""Field types that the settings' models share: strict numbers, names, paths and patterns."""

import re
from typing import Annotated

import pydantic

from components.ingest.fields import FROZEN as FROZEN
from components.ingest.fields import Count as Count
from components.ingest.fields import EnvName as EnvName
from components.ingest.fields import Number as Number
from components.ingest.fields import Positive as Positive
from components.ingest.fields import Switch as Switch
from components.ingest.fields import Text as Text
from components.ingest.fields import matching as matching

Workers = Annotated[int, pydantic.Field(strict=True, ge=1, le=256)]

ProjectName = Annotated[
    str,
    matching(
        r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "expected up to 63 lower-case letters, digits and hyphens, such as 'plant-failures'",
    ),
]
SourceName = Annotated[
    str,
    matching(
        r"[A-Za-z][A-Za-z0-9]*",
        "expected letters and digits, beginning with a letter, such as 'telemetry': a source's "
        "name becomes part of node and feature names",
    ),
]
_FOLDER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
FolderName = Annotated[
    str,
    matching(
        _FOLDER,
        "expected a name that can be a folder: letters, digits, '-', '_' and '.', beginning with "
        "a letter or digit",
    ),
]
NodeName = Annotated[
    str,
    matching(
        r"__default__|[A-Za-z0-9][A-Za-z0-9-]*",
        "expected a node's id (letters, digits and hyphens) or '__default__'",
    ),
]


def is_folder_name(value: object) -> bool:
    """Whether a value is text that FolderName takes."""
    return isinstance(value, str) and re.fullmatch(_FOLDER, value) is not None
