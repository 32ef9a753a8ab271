"""Writing settings.yaml: its text, and files that appear whole or not at all."""

import pathlib
import shutil
from typing import Any

import yaml

_WIDE = 90
# A mapping that fits on a line is not broken there, however deep it lies.
_WIDEST = 120
_HEAD = (
    "# All that makes this project this one, proposed by `python -m pipeline init` from what it\n"
    "# saw in the data. Read it, change it; `python -m pipeline check` validates it.\n"
)
_COMMENTS = {
    "as_of": "The time at which a run stands: an ISO 8601 time, `now` or `latest`.",
    "spine": "The source with one row an entity and a time, and the label; others are joined on.",
    "split": "Counted back from as_of; the label's horizon lies between train and eval.",
    "evaluation": "Give min: (or max:) to each metric that a model must reach before it is pushed.",
}
# Settings that nobody has written for data of their own: the demo's, and a new project's start.
START = "# A start. `python -m pipeline init"
_NOBODYS = ("var/demo/plant.db", "# The demo plant on a cluster", START)


def settings_text(settings: dict[str, Any], live: bool) -> str:
    """The YAML of settings.

    Args:
      settings: their content.
      live: whether data come up to today.
    """
    text: str = yaml.dump(
        settings, Dumper=_Dumper, sort_keys=False, width=_WIDEST, allow_unicode=True
    )
    lines = [_HEAD]
    for line in text.splitlines(keepends=True):
        key = line.partition(":")[0]
        if line[:1].isalpha() and key != "project":
            lines.append("\n")
            comment = _COMMENTS.get(key)
            if key == "as_of" and not live:
                comment = f"{comment}\n# This is where the data end; write `now` once they grow."
            lines += [f"# {comment}\n"] if comment else []
        lines.append(line)
    return "".join(lines)


def may_replace(path: pathlib.Path) -> bool:
    """Whether settings may be written there unasked: there are none, or the demo's, or a start."""
    if not path.exists():
        return True
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(mark in text for mark in _NOBODYS)


def keep(path: pathlib.Path) -> pathlib.Path | None:
    """Copies a file to a name of its own, so that it can be replaced.

    Returns:
      The copy, or None where there is no such file.
    """
    if not path.exists():
        return None
    names = (path.with_name(f"{path.name}.before-init{n}") for n in ("", *range(2, 1000)))
    copy = next(name for name in names if not name.exists())
    shutil.copy2(path, copy)
    return copy


def write(path: pathlib.Path, text: str) -> None:
    """Writes a file; a reader sees the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Dumper(yaml.SafeDumper):
    """Block style, but short mappings and lists on one line, and queries as they are written."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = _length(node) <= _WIDE
        return node

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = _length(node) <= _WIDE
        return node


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _length(node: yaml.Node) -> int:
    if isinstance(node, yaml.ScalarNode):
        return 2 * _WIDE if node.style == "|" else len(node.value) + 2
    if isinstance(node, yaml.MappingNode):
        return sum(_length(key) + _length(value) for key, value in node.value)
    return sum(map(_length, node.value))
