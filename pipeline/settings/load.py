"""Loading settings.yaml."""

import os
import pathlib
import re
from typing import Any

import pydantic

from pipeline.settings.agreement import disagreements
from pipeline.settings.document import Document, read_document
from pipeline.settings.errors import Path, Problem, SettingsError
from pipeline.settings.models import Settings
from pipeline.settings.problems import problems_of

_PASSWORD = re.compile(r"://[^\s:/@]*:[^\s@]+@")


def load_settings(path: str | os.PathLike[str]) -> Settings:
    """Reads and checks a settings file.

    Args:
      path: the YAML file.

    Raises:
      SettingsError: if it can't be read, isn't YAML, or breaks a rule; it lists every problem.
    """
    file = str(path)
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        message = "there is no such file; run where settings.yaml lies, or name it by --settings"
        raise SettingsError(file, [Problem((), message)]) from None
    except UnicodeDecodeError as error:
        message = f"isn't UTF-8 text: byte {error.start} can't be read"
        raise SettingsError(file, [Problem((), message)]) from None
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        raise SettingsError(file, [Problem((), message)]) from None
    return parse_settings(text, file)


def parse_settings(text: str, file: str = "settings.yaml") -> Settings:
    """As `load_settings`, from the file's text.

    Args:
      text: the YAML.
      file: what messages call it.

    Raises:
      SettingsError: as `load_settings`.
    """
    document = read_document(text, file)
    if not isinstance(document.data, dict):
        message = "expected keys such as project, sources, label and split"
        raise SettingsError(file, [Problem((), message, 1)])
    problems = list(_passwords(document.data, ()))
    settings = None
    if not problems:
        try:
            settings = Settings.model_validate(document.data)
        except pydantic.ValidationError as error:
            problems = problems_of(error, document.data, Settings)
        else:
            problems = disagreements(settings)
    if settings is None or problems:
        raise SettingsError(file, [_placed(problem, document) for problem in problems])
    return settings


def _passwords(value: Any, path: Path) -> list[Problem]:
    if isinstance(value, dict):
        return [p for key, item in value.items() for p in _passwords(item, (*path, key))]
    if isinstance(value, list):
        return [p for i, item in enumerate(value) for p in _passwords(item, (*path, i))]
    if isinstance(value, str) and _PASSWORD.search(value):
        name = "tracking_uri_env" if path[0] == "registry" else "url_env"
        mend = f"put the URL into an environment variable and name it as {name}"
        if path[0] == "collect":
            mend = "name the variables that hold the login as username_env and password_env"
        return [Problem(path, f"a password must not stand in settings: {mend}")]
    return []


def _placed(problem: Problem, document: Document) -> Problem:
    """The problem with the line of its path, or of the nearest part of the path that is there."""
    path = problem.path
    while path and path not in document.lines:
        path = path[:-1]
    return problem._replace(line=document.lines.get(path))
