"""Reading YAML with the line of every key and value, and without YAML 1.1's traps.

Scalars are read by YAML 1.2's core schema: ``on``, ``off``, ``yes`` and ``no`` are text, ``12:30``
is text and not 750, a date is text, ``010`` is ten, ``1e-3`` is a number. Keys are always text.
"""

import re
from typing import Any, NamedTuple

import yaml

from pipeline.settings.errors import Path, Problem, SettingsError

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_BOOLEAN["FALSE"] = False
_INTEGER = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# PyYAML gives these to plain scalars by itself; any other tag was written into the file.
_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ["str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq"]
}


class Document(NamedTuple):
    """A YAML file's content.

    Attributes:
      data: mappings, lists, text, numbers, booleans and None.
      lines: by path the line, from 1, of its key (of the value, in a list).
    """

    data: Any
    lines: dict[Path, int]


def read_document(text: str, file: str) -> Document:
    """Reads one YAML document.

    Args:
      text: the file's content.
      file: what messages call it.

    Raises:
      SettingsError: on a syntax error, with line and column; on a key that stands twice in one
        mapping, with both lines; on tags and on merge keys.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"character {error.character:#x} can't stand in YAML"
        raise SettingsError(file, [Problem((), found, line)]) from None
    except yaml.MarkedYAMLError as error:
        raise SettingsError(file, [_syntax(error)]) from None
    if node is None:
        raise SettingsError(file, [Problem((), "the file is empty", None)])
    walk = _Walk()
    data = walk.value(node, ())
    if walk.problems:
        raise SettingsError(file, walk.problems)
    return Document(data, walk.lines)


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    # The mark's snippet is left out: a line of a settings file may hold what must not be logged.
    mark = error.problem_mark or error.context_mark
    parts = [part for part in (error.context, error.problem) if part]
    message = f"not valid YAML: {', '.join(parts)}"
    if "found character '\\t'" in message:
        message += "; indent with spaces, not tabs"
    elif "mapping values are not allowed" in message:
        message += "; put text that holds ': ' in quotes"
    if mark is None:
        return Problem((), message)
    return Problem((), message, mark.line + 1, mark.column + 1)


class _Walk:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if id(node) in self._open:
            self.problems.append(Problem(path, "an alias must not hold itself", line))
            return None
        if node.tag not in _TAGS:
            self.problems.append(Problem(path, f"tags such as {node.tag!r} are not read", line))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            assert isinstance(node, yaml.ScalarNode)
            return node.value if node.style else plain_scalar(node.value)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(Problem(path, "a key must be text", line))
                continue
            name = key.value
            place = (*path, name)
            if name == "<<" and key.style is None:
                self.problems.append(
                    Problem(path, "merge keys ('<<') are not read; repeat the keys", line)
                )
            elif name in found:
                first = self.lines[place]
                self.problems.append(Problem(place, f"stands twice, first in line {first}", line))
            else:
                self.lines[place] = line
                found[name] = self.value(value, place)
        return found


def plain_scalar(text: str) -> Any:
    """What a scalar without quotes means in YAML 1.2's core schema."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) or _SPECIAL.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
