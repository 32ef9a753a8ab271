"""Field types of settings that several blocks share: strict numbers, names and patterns."""

import re
from typing import Annotated, Any

import pydantic

FROZEN = pydantic.ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

# Strict, since `epochs: true` and `epochs: '10'` are slips, not numbers.
Count = Annotated[int, pydantic.Field(strict=True, ge=1)]
Switch = Annotated[bool, pydantic.Field(strict=True)]
Number = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False, gt=0)]
Text = Annotated[str, pydantic.Field(min_length=1)]


def matching(pattern: str, rule: str) -> Any:
    """A text type whose values must match ``pattern`` whole; else ``rule`` is the error."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(rule)
        return value

    return pydantic.AfterValidator(check)


def naming_variable(example: str) -> Any:
    """A text type for the name of an environment variable such as ``example``."""
    rule = f"expected the name of an environment variable such as {example!r}, not what it holds"
    return matching(r"[A-Za-z_][A-Za-z0-9_]*", rule)


EnvName = Annotated[str, naming_variable("KFP_TOKEN")]
