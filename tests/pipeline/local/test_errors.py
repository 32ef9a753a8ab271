"""What of an error reaches people."""

import pathlib
import re

import pytest

from components.ingest import room
from components.ingest.errors import DataError
from pipeline.local.errors import message

TOLD = "telemetry: line 3 is '{': expected JSON. Mend the file"


def data_error() -> DataError:
    return DataError("telemetry", "line 3", "expected JSON", "Mend the file", "{")


def test_own_error_is_told_in_its_own_words() -> None:
    assert message(data_error()) == TOLD


def test_cause_is_found_behind_a_wrapper() -> None:
    with pytest.raises(RuntimeError) as caught:
        try:
            raise data_error()
        except DataError as error:
            raise RuntimeError("stage failed") from error
    assert message(caught.value) == TOLD


def test_words_are_found_in_what_beam_hands_on_as_text() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "apache_beam/runners/common.py", line 1501, in process\n'
        f"components.ingest.errors.DataError: {TOLD} [while running 'Read/ParDo(Read)-7']\n"
    )
    assert message(RuntimeError(text)) == TOLD


def test_any_other_error_keeps_its_type() -> None:
    assert message(KeyError("x")) == "KeyError: 'x'"


@pytest.mark.parametrize(
    "said", ["[Errno 28] No space left on device", "database or disk is full", "File too large"]
)
def test_a_full_disk_is_told_with_what_is_free(tmp_path: pathlib.Path, said: str) -> None:
    told = message(RuntimeError(f"{said} [while running 'Write']"), tmp_path / "var")
    assert re.fullmatch(
        rf"RuntimeError: {re.escape(said)} .* \({tmp_path}/var: [\d,]+ of [\d,]+ MiB free\)\. "
        "Make room on the disk, or let run.directory in the settings name another",
        told,
    )
    own = room.unwritable(f"{tmp_path}/a", OSError(28, "No space left on device"))
    assert message(own, tmp_path) == str(own)
    # Beam adds the transform's name to an error of one argument.
    assert message(room.UnwritableError(f"{own} [while running 'Write']")) == str(own)
