"""Writing a schema without losing what people wrote into the file: comments, order, layout."""

import re
from typing import NamedTuple

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

HEADER = """\
# The data's schema, reviewed like code: what a run's data must hold, or AnomalyGate stops it.
# `python -m pipeline schema infer` proposes changes, `diff` shows them, `accept` writes them here.
# Comments survive; so does every block that a change doesn't touch.
"""

_TOKEN = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*|[{}<>]|[^\"'#{}<>]+")


class Block(NamedTuple):
    """A top-level part of the file, such as one ``feature {…}``.

    Attributes:
      comments: the comment lines and blank lines that stand before it.
      text: the block as it was written, with comments in it.
      message: what it says.
    """

    comments: str
    text: str
    message: schema_pb2.Schema


def blocks(text: str) -> tuple[list[Block], str]:
    """Cuts a schema's text into its top-level blocks.

    Args:
      text: protobuf text of a whole schema that parses.

    Returns:
      The blocks in order, and what stands after the last one.
    """
    found: list[Block] = []
    comments, body, depth = "", "", 0
    for line in text.splitlines(keepends=True):
        if depth == 0 and (not line.strip() or line.lstrip().startswith("#")):
            comments += line
            continue
        body += line
        for token in _TOKEN.findall(line):
            depth += (token in "{<") - (token in "}>") if len(token) == 1 else 0
        if depth == 0:
            message = schema_pb2.Schema()
            try:
                text_format.Parse(body, message)
            except text_format.ParseError:
                continue  # `feature` on one line and its brace on the next.
            found.append(Block(comments, body, message))
            comments, body = "", ""
    return found, comments + body


def merge(text: str | None, schema: schema_pb2.Schema) -> str:
    """The text of a schema, as near as possible to an older text.

    Blocks that say the same stay as they are written, to the byte. A changed block is written
    anew below its comments; comments within it are put above it. New blocks follow after the last
    of their kind, blocks that are gone go with their comments.

    Args:
      text: the file's text, or None if there is none yet.
      schema: what the new text must say.

    Returns:
      A text that parses to a schema with the same features, domains and settings.
    """
    if text is None:
        return HEADER + "\n" + text_format.MessageToString(schema)
    old, rest = blocks(text)
    wanted = _singles(schema)
    kept: list[tuple[str, str]] = []
    last: dict[str, int] = {}
    for block in old:
        parts = _singles(block.message)
        keys = list(parts)
        if all(wanted.get(key) == parts[key] for key in keys):
            written = block.comments + block.text
        else:
            anew = "".join(wanted[key] for key in keys if key in wanted)
            if not anew:
                continue
            inner = "".join(f"{comment}\n" for comment in _comments(block.text))
            written = block.comments + inner + anew
        last[keys[-1][0]] = len(kept)
        kept.append((keys[-1][0], written))
        for key in keys:
            wanted.pop(key, None)
    fresh: dict[str, str] = {}
    for (kind, _), block_text in wanted.items():
        fresh[kind] = fresh.get(kind, "") + block_text
    out = ""
    for index, (kind, written) in enumerate(kept):
        out += written if written.endswith("\n") else written + "\n"
        if last[kind] == index:
            out += fresh.pop(kind, "")
    return out + "".join(fresh.values()) + rest


def _singles(schema: schema_pb2.Schema) -> dict[tuple[str, str], str]:
    """Each top-level part as text, by its field and its name (or position)."""
    parts: dict[tuple[str, str], str] = {}
    for descriptor, value in schema.ListFields():
        field = descriptor.name
        if field in ("feature", "sparse_feature", "weighted_feature", "string_domain"):
            for item in value:
                only = schema_pb2.Schema()
                getattr(only, field).add().CopyFrom(item)
                parts[field, item.name] = text_format.MessageToString(only)
        elif field == "default_environment":
            for item in value:
                only = schema_pb2.Schema(default_environment=[item])
                parts[field, item] = text_format.MessageToString(only)
        else:
            only = schema_pb2.Schema()
            only.CopyFrom(schema)
            for other, _ in schema.ListFields():
                if other.name != field:
                    only.ClearField(other.name)
            parts[field, ""] = text_format.MessageToString(only)
    return parts


def _comments(text: str) -> list[str]:
    return [token for token in _TOKEN.findall(text) if token.startswith("#")]
