"""Turning pydantic's errors into problems that name the path, the value, the rule and the mend."""

import difflib
import itertools
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any

import pydantic
import pydantic_core

from components.ingest.errors import shorten
from components.ingest.kinds import kinds
from pipeline.settings.errors import Path, Problem
from pipeline.settings.expected import belongs, choice

_SHAPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number, neither infinite nor NaN",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}
# What stands here may hold a password, so that messages never repeat it.
_UNSHOWN = {
    *("url", "url_env", "token_env", "cookies_env", "password_env", "secrets"),
    *("tracking_uri", "tracking_uri_env", "username_env"),
}
_TAGS_AT = {
    ("sources", 2): set(kinds()),
    ("split", 1): {"time", "entity"},
    ("collect", 2): {"mqtt", "kafka"},
    ("collect", 4): {"json", "number"},
}


def problems_of(
    error: pydantic.ValidationError, data: Any, model: type[pydantic.BaseModel]
) -> list[Problem]:
    """Problems behind a validation error, without lines.

    Where a value may have one of several shapes pydantic reports each that it lacks; these become
    one problem.

    Args:
      error: what pydantic raised.
      data: the data that it was given.
      model: the model that it was to become.
    """
    entries = [(_clean(e["loc"], data, e["type"]), e) for e in error.errors(include_url=False)]
    found: list[Problem] = []
    for path, entry in entries:
        kind = entry["type"]
        others = [(p, e) for p, e in entries if e is not entry and p[: len(path)] == path]
        if kind in _SHAPES and any(p != path or e["type"] not in _SHAPES for p, e in others):
            continue  # Another shape fits better, and its own error says what is wrong in it.
        if kind == "literal_error" and any(e["type"] == "value_error" for p, e in others):
            continue  # Told with the other's rule.
        if kind in _SHAPES:
            shapes = dict.fromkeys(_SHAPES[e["type"]] for p, e in [(path, entry), *others])
            problem = _shape(path, entry["input"], " or ".join(shapes))
        else:
            if kind.startswith("union_tag"):
                path = (*path, str(entry["ctx"]["discriminator"]).strip("'"))
            problem = Problem(path, _message(path, entry, data, model))
            also = [
                e["ctx"]["expected"]
                for p, e in others
                if p == path and "expected" in e.get("ctx", {})
            ]
            if kind == "value_error" and also:
                problem = problem._replace(message=f"{problem.message}, or {also[0]}")
        if problem not in found:
            found.append(problem)
    return found


def _clean(loc: tuple[int | str, ...], data: Any, kind: str) -> Path:
    """The path in the file: without the names of union members that pydantic puts in."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        if part in _TAGS_AT.get((str(loc[0]), position), ()):
            continue
        if _holds(data, part):
            data = data[part]
        elif not (position == len(loc) - 1 and kind == "missing" and isinstance(part, str)):
            continue
        path.append(part)
    return tuple(path)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def _shape(path: Path, value: Any, expected: str) -> Problem:
    if value is None:
        return Problem(path, f" is empty: expected {expected}")
    advice = "; put it in quotes" if expected == "text" and _is_scalar(value) else ""
    return Problem(path, f"{_shown(path, value)}: expected {expected}{advice}")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | bool)


def _shown(path: Path, value: Any) -> str:
    if not _UNSHOWN.isdisjoint(path):
        return " can't be used"
    if isinstance(value, dict):
        return " is a mapping"
    if isinstance(value, bool):
        return f" is {str(value).lower()}"
    return f" is {shorten(value)}"


def _message(
    path: Path,
    entry: pydantic_core.ErrorDetails,
    data: Any,
    model: type[pydantic.BaseModel],
) -> str:
    kind, value, context = entry["type"], entry["input"], entry.get("ctx", {})
    if kind == "missing":
        if isinstance(value, list | tuple):
            return f"{_shown(path, value)}: expected [lowest, highest]"
        return f"missing: {belongs(path)}"
    if kind == "extra_forbidden":
        return "unknown key" + _suggest(str(path[-1]), _keys_at(model, path[:-1], data))
    if kind == "union_tag_not_found":
        return f"missing: {belongs(path)}"
    if kind == "union_tag_invalid":
        tags = [tag.strip("'") for tag in str(context["expected_tags"]).split(", ")]
        return f" is {context['tag']!r}: expected {choice(tags)}"
    if kind == "literal_error":
        options = _literals(str(context["expected"]))
        return f"{_shown(path, value)}: expected {choice(options)}" + _meant(value, options)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        if isinstance(value, str):
            return f"{_shown(path, value)}: expected a duration {words} {context[name]:g}s"
        return f"{_shown(path, value)}: expected a number {words} {context[name]:g}"
    if kind in ("string_too_short", "too_short"):
        what = "text" if kind == "string_too_short" else "at least one entry"
        return f" is empty: expected {what}"
    if kind == "too_long":
        return f"{_shown(path, value)}: expected at most {context['max_length']} entries"
    rule = entry["msg"].removeprefix("Value error, ")
    if "[key]" in entry["loc"] or not _UNSHOWN.isdisjoint(path):
        return rule
    whole = isinstance(value, dict | list) or not rule.startswith("expected")
    return rule if whole else f"{_shown(path, value)}: {rule}"


def _literals(expected: str) -> list[str]:
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(", ")]


def _meant(value: Any, options: Iterable[str]) -> str:
    options = list(options)
    if not isinstance(value, str) or len(options) <= 2:
        return ""
    return _suggest(value, options)


def _suggest(name: str, options: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), list(options), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _keys_at(model: type[pydantic.BaseModel], path: Path, data: Any) -> list[str]:
    """The keys that the model at a path takes."""
    annotation: Any = model
    for part in path:
        data = data[part]
        annotation = _member(_step(annotation, part), data)
    annotation = _member(annotation, data)
    if not _is_model(annotation):
        return []
    return [field.alias or name for name, field in annotation.model_fields.items()]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def _step(annotation: Any, part: str | int) -> Any:
    if _is_model(annotation):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return fields[str(part)].annotation
    arguments = typing.get_args(annotation)
    return arguments[-1] if arguments else None


def _member(annotation: Any, data: Any) -> Any:
    """Of a union the member that the data means to be."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    members = [_member(m, data) for m in typing.get_args(annotation)]
    models = [m for m in members if _is_model(m)]
    for key, member in itertools.product(("kind", "by", "runner", "launcher"), models):
        field = member.model_fields.get(key)
        told = data.get(key) if isinstance(data, dict) else None
        if field and told in typing.get_args(field.annotation):
            return member
    if isinstance(data, dict) and not models:
        return next((m for m in members if typing.get_origin(m) is dict), None)
    return models[0] if models else None
