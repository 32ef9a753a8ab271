"""Field types that the settings' models share: strict numbers, names, paths and patterns."""

import re
from typing import Annotated, Any

import pydantic

FROZEN = pydantic.ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

# Strict, since `epochs: true` and `epochs: '10'` are slips, not numbers.
Count = Annotated[int, pydantic.Field(strict=True, ge=1)]
Workers = Annotated[int, pydantic.Field(strict=True, ge=1, le=256)]
Number = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False, gt=0)]
Switch = Annotated[bool, pydantic.Field(strict=True)]
Text = Annotated[str, pydantic.Field(min_length=1)]


def matching(pattern: str, rule: str) -> Any:
    """A text type whose values must match ``pattern`` whole; else ``rule`` is the error."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(rule)
        return value

    return pydantic.AfterValidator(check)


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
EnvName = Annotated[
    str,
    matching(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "expected the name of an environment variable such as 'KFP_TOKEN', not what it holds",
    ),
]


def is_folder_name(value: object) -> bool:
    """Whether a value is text that FolderName takes."""
    return isinstance(value, str) and re.fullmatch(_FOLDER, value) is not None
