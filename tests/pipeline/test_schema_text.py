"""The schema's text and what differs between two: comments survive, differences are told."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.curated_schema.schema_file import parse_schema
from pipeline.schema.compare import Change, compare
from pipeline.schema.text import blocks, merge

TEXT = """\
# Kept by the plant's data people.
# Two lines { with a brace.

feature {
  name: "age"  # years { since
  type: FLOAT
  float_domain { min: 0 max: 80 }  # older ones are "gone"
}

# Six families.
feature
{
  name: 'mo}del' type: BYTES
  domain: "model"
}
feature { name: "load" type: FLOAT }
string_domain { name: "model" value: "C3" value: "D\\"1" }
default_environment: "TRAINING"
default_environment: "SERVING"
# The end.
"""


def schema(text=TEXT):
    return parse_schema(text, "schema.pbtxt")


def same(text, wanted):
    return not compare(wanted, schema(text)) and not compare(schema(text), wanted)


def test_blocks_hold_all_of_the_text():
    found, rest = blocks(TEXT)
    assert "".join(b.comments + b.text for b in found) + rest == TEXT
    assert [f.name for b in found for f in b.message.feature] == ["age", "mo}del", "load"]


def test_nothing_changed_leaves_every_byte():
    assert merge(TEXT, schema()) == TEXT


def test_a_changed_block_keeps_its_comments_and_the_others_their_bytes():
    wanted = schema()
    wanted.feature[0].float_domain.max = 90
    text = merge(TEXT, wanted)
    assert same(text, wanted)
    assert text.startswith("# Kept by the plant's data people.\n# Two lines { with a brace.\n")
    assert '# years { since\n# older ones are "gone"\nfeature {' in text
    assert TEXT[TEXT.index("# Six") :] in text
    assert merge(text, wanted) == text


def test_new_columns_follow_the_last_one_and_gone_ones_go_with_their_comments():
    wanted = schema()
    del wanted.feature[1]
    del wanted.string_domain[:]
    wanted.feature.add(name="site", type=schema_pb2.BYTES)
    text = merge(TEXT, wanted)
    assert same(text, wanted)
    assert "Six families" not in text
    assert text.index('"load"') < text.index('"site"') < text.index("default_environment")
    assert text.endswith("# The end.\n")


def test_other_parts_are_taken_up():
    wanted = schema()
    wanted.dataset_constraints.min_examples_count = 100
    del wanted.default_environment[:]
    text = merge(TEXT, wanted)
    assert same(text, wanted)
    assert (
        text_format.Parse(text, schema_pb2.Schema()).dataset_constraints.min_examples_count == 100
    )


def test_a_first_text_has_a_header():
    text = merge(None, schema())
    assert text.startswith("# The data's schema")
    assert same(text, schema())


def change(edit):
    after = schema()
    edit(after)
    return compare(schema(), after)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (
            lambda s: s.feature.add(name="site", type=schema_pb2.BYTES),
            Change("site", "column", "", "BYTES"),
        ),
        (lambda s: s.feature.pop(2), Change("load", "column", "FLOAT", "")),
        (
            lambda s: setattr(s.feature[0], "type", schema_pb2.INT),
            Change("age", "type", "FLOAT", "INT"),
        ),
        (
            lambda s: setattr(s.feature[0].float_domain, "max", 90),
            Change("age", "range", "0 to 80", "0 to 90"),
        ),
        (
            lambda s: s.string_domain[0].value.append("E2"),
            Change("mo}del", "values", 'C3, D"1', 'C3, D"1, E2'),
        ),
        (
            lambda s: setattr(s.feature[2].presence, "min_fraction", 0.9),
            Change("load", "presence", "", "at least 90%"),
        ),
        (
            lambda s: s.feature[2].not_in_environment.append("SERVING"),
            Change("load", "not in", "", "SERVING"),
        ),
        (
            lambda s: setattr(
                s.feature[2].drift_comparator.jensen_shannon_divergence, "threshold", 0.3
            ),
            Change("load", "drift limit", "", "Jensen-Shannon 0.3"),
        ),
        (
            lambda s: setattr(s.feature[2].value_count, "max", 1),
            Change("load", "value count", "", "{ max: 1 }"),
        ),
        (
            lambda s: setattr(s.feature[2], "lifecycle_stage", schema_pb2.BETA),
            Change("load", "lifecycle stage", "", ": BETA"),
        ),
        (
            lambda s: s.default_environment.pop(),
            Change("(schema)", "environments", "TRAINING, SERVING", "TRAINING"),
        ),
        (
            lambda s: setattr(s.dataset_constraints, "min_examples_count", 1000),
            Change("(schema)", "fewest rows", "", "1,000"),
        ),
        (
            lambda s: setattr(s, "represent_variable_length_as_ragged", True),
            Change("(schema)", "other", "", "represent_variable_length_as_ragged: true"),
        ),
    ],
)
def test_each_difference_is_told(edit, told):
    assert [tuple(map(str.strip, c)) for c in change(edit)] == [tuple(told)]


def test_no_difference():
    assert compare(schema(), schema()) == []
    reordered = schema()
    first = reordered.feature.pop(0)
    reordered.feature.append(first)
    assert compare(schema(), reordered) == []
