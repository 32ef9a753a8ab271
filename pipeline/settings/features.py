"""Settings of the features, and how names and globs in them meet the schema's columns."""

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from pipeline.settings.fields import FROZEN, Text

if TYPE_CHECKING:
    from components.curated_schema.schema_file import Column

Kind = Literal["numeric", "categorical", "bucketized"]

_FITTING = {
    "numeric": ("int", "float"),
    "categorical": ("bytes", "int"),
    "bucketized": ("int", "float"),
}


class Categorical(pydantic.BaseModel):
    """How a category becomes a number: its vocabulary's size, and buckets for unknown values."""

    model_config = FROZEN

    vocabulary: Annotated[int, pydantic.Field(strict=True, ge=1, le=10_000_000)] = 1_000
    oov_buckets: Annotated[int, pydantic.Field(strict=True, ge=1, le=10_000)] = 1


class Features(pydantic.BaseModel):
    """Which columns the model reads, by name or by glob (``*``, ``?``, ``[ab]``).

    With nothing listed every column serves: numbers as numeric, text and categorical ints as
    categorical. A column that is named counts as what it is named as, whatever globs say; a glob
    passes over columns of the wrong type. ``exclude`` wins over both.
    """

    model_config = FROZEN

    numeric: list[Text] = []
    categorical: dict[Text, Categorical] = {}
    bucketized: dict[Text, Annotated[int, pydantic.Field(strict=True, ge=2, le=1_000)]] = {}
    exclude: list[Text] = []

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if data == "auto":
            return {}
        if isinstance(data, dict) and isinstance(data.get("categorical"), list):
            names = data["categorical"]
            if not all(isinstance(name, str) for name in names):
                raise ValueError("categorical: expected a list of names, or a mapping by name")
            return {**data, "categorical": {name: {} for name in names}}
        if isinstance(data, dict) and isinstance(data.get("categorical"), dict):
            filled = {k: {} if v is None else v for k, v in data["categorical"].items()}
            return {**data, "categorical": filled}
        return data

    @property
    def automatic(self) -> bool:
        """Whether the schema alone decides."""
        return not (self.numeric or self.categorical or self.bucketized)

    def listed(self) -> list[tuple[Kind, str]]:
        """Every name and glob, with the kind under which it stands."""
        return (
            [("numeric", name) for name in self.numeric]
            + [("categorical", name) for name in self.categorical]
            + [("bucketized", name) for name in self.bucketized]
        )


def is_glob(text: str) -> bool:
    """Whether a feature's name stands for many."""
    return any(mark in text for mark in "*?[")


class FeatureError(ValueError):
    """A listed feature that the schema does not bear out.

    Attributes:
      kind: where it is listed: numeric, categorical, bucketized or exclude.
      name: the name or glob.
      message: what is wrong with it.
    """

    def __init__(self, kind: str, name: str, message: str) -> None:
        self.kind, self.name, self.message = kind, name, message
        super().__init__(f"features.{kind}: {name!r} {message}")


def near(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no candidate is near."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def expand(
    features: Features, columns: Mapping[str, "Column"], reserved: Iterable[str]
) -> tuple[dict[str, Kind], list[FeatureError]]:
    """Meets the settings' names and globs with the schema's columns.

    Args:
      features: the settings.
      columns: the schema's columns.
      reserved: columns that are never features: label, entity and times.

    Returns:
      By column its kind, in the schema's order; and what is wrong with the settings.
    """
    errors: list[FeatureError] = []
    reserved = set(reserved)
    excluded = set()
    for name in features.exclude:
        matched = fnmatch.filter(columns, name)
        excluded.update(matched)
        if not matched:
            errors.append(FeatureError("exclude", name, "matches no column" + near(name, columns)))
    usable = {name: c for name, c in columns.items() if name not in reserved | excluded}
    if features.automatic:
        return {n: _natural(c) for n, c in usable.items() if not c.many}, errors

    chosen: dict[str, Kind] = {}
    for kind, name in features.listed():
        if not is_glob(name):
            problem = _unfit(kind, name, columns, reserved, excluded)
            if problem:
                errors.append(FeatureError(kind, name, problem))
            else:
                chosen[name] = kind
    for kind, glob in features.listed():
        if is_glob(glob):
            fitting = [
                name
                for name in fnmatch.filter(usable, glob)
                if usable[name].type in _FITTING[kind] and not usable[name].many
            ]
            if not fitting:
                among = f"matches no {' or '.join(_FITTING[kind])} column"
                errors.append(FeatureError(kind, glob, among + near(glob, usable)))
            for name in fitting:
                chosen.setdefault(name, kind)
    return {name: chosen[name] for name in usable if name in chosen}, errors


def _natural(column: "Column") -> Kind:
    return "categorical" if column.type == "bytes" or column.categorical else "numeric"


def _unfit(
    kind: Kind,
    name: str,
    columns: Mapping[str, "Column"],
    reserved: set[str],
    excluded: set[str],
) -> str | None:
    if name in reserved:
        return "is the label, the entity or a time, which are never features"
    if name in excluded:
        return "is listed under exclude too"
    if name not in columns:
        return "is no column of the schema" + near(name, columns)
    column = columns[name]
    if column.many:
        return "holds several values in a row; expected one"
    if column.type not in _FITTING[kind]:
        return f"is {column.type} in the schema; expected {' or '.join(_FITTING[kind])}"
    return None


def trainer_features(features: Features, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The trainer's ``features`` with explicit names.

    Args:
      features: the settings.
      kinds: by column its kind, from `expand`.
    """

    def option(listed: Mapping[str, Any], name: str) -> Any:
        if name in listed:
            return listed[name]
        return next((v for glob, v in listed.items() if fnmatch.fnmatchcase(name, glob)), None)

    return {
        "numeric": [n for n, kind in kinds.items() if kind == "numeric"],
        "categorical": {
            n: (option(features.categorical, n) or Categorical()).model_dump()
            for n, kind in kinds.items()
            if kind == "categorical"
        },
        "bucketized": {
            n: {"buckets": option(features.bucketized, n)}
            for n, kind in kinds.items()
            if kind == "bucketized"
        },
    }
