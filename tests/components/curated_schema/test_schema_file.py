"""The curated schema's file: what is read from it, and what is refused."""

import pytest

from components.curated_schema.schema_file import (
    Column,
    SchemaError,
    columns,
    fingerprint,
    hand_on,
    parse_schema,
    read_schema,
)

GOOD = """
feature { name: "age" type: FLOAT value_count { min: 1 max: 1 } }
feature { name: "line" type: INT int_domain { is_categorical: true } shape { dim { size: 1 } } }
feature { name: "model" type: BYTES }
feature { name: "tags" type: BYTES value_count { min: 0 } }
feature { name: "pair" type: FLOAT shape { dim { size: 2 } } }
feature { name: "old" type: FLOAT lifecycle_stage: DEPRECATED }
feature { name: "plan" type: FLOAT lifecycle_stage: PLANNED }
"""


def test_columns():
    assert columns(parse_schema(GOOD, "schema.pbtxt")) == {
        "age": Column("float"),
        "line": Column("int", categorical=True),
        "model": Column("bytes"),
        "tags": Column("bytes", many=True),
        "pair": Column("float", many=True),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'feature {\n  name: "a"\n  tipe: INT\n}',
            'schema.pbtxt, line 3: Message type "tensorflow.metadata.v0.Feature" has no field '
            'named "tipe".',
        ),
        (
            'feature { name: "a"\n type: INTEGER }',
            'schema.pbtxt, line 2: Enum type "tensorflow.metadata.v0.FeatureType" has no value '
            "named INTEGER.",
        ),
        ('feature { name: "a"\n', 'schema.pbtxt, line 1: Expected "}".'),
        (
            "",
            "schema.pbtxt: no feature stands in it. Make one with `python -m pipeline schema "
            "infer`, look at it, then `python -m pipeline schema accept`",
        ),
        (
            'feature { name: "a" }\nfeature { name: "a" }',
            "schema.pbtxt: feature 'a' stands in it twice; drop one",
        ),
        (
            'feature { name: "a" type: BYTES domain: "b" }',
            "schema.pbtxt: feature 'a' has domain 'b', which no string_domain bears",
        ),
    ],
)
def test_what_is_no_schema(text, message):
    with pytest.raises(SchemaError) as caught:
        parse_schema(text, "schema.pbtxt")
    assert str(caught.value) == message


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(SchemaError, match=r"there is no schema yet\. Make one with"):
        read_schema(tmp_path / "schema.pbtxt")
    with pytest.raises(SchemaError, match="cannot be read"):
        read_schema(tmp_path)
    (tmp_path / "latin").write_bytes(b"\xe4")
    with pytest.raises(SchemaError, match="cannot be read"):
        read_schema(tmp_path / "latin")


def test_fingerprint_follows_the_content(tmp_path):
    path = tmp_path / "schema.pbtxt"
    absent = fingerprint(path)
    path.write_text(GOOD)
    first = fingerprint(path)
    path.write_text(GOOD + "# a comment\n")
    assert len({absent, first, fingerprint(path)}) == 3
    path.write_text(GOOD)
    assert fingerprint(path) == first


def test_hand_on_copies_bytes_and_only_a_schema(tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text("# kept\n" + GOOD)
    copy = hand_on(path, tmp_path / "artifact")
    assert copy == tmp_path / "artifact" / "schema.pbtxt"
    assert copy.read_bytes() == path.read_bytes()
    path.write_text("feature {")
    with pytest.raises(SchemaError):
        hand_on(path, tmp_path / "other")
    assert not (tmp_path / "other").exists()
