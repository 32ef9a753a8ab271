import os

import pytest

from observability.quiet import quiet_import


def write(text: bytes) -> None:
    """As a library's C++ code does."""
    os.write(2, text)


def test_what_is_written_meanwhile_is_not_shown(capfd):
    with quiet_import():
        write(b"oneDNN is on\n")
    write(b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_an_import_that_fails_shows_it(capfd):
    with pytest.raises(ImportError), quiet_import():
        write(b"no such CPU\n")
        raise ImportError("half a library")
    assert capfd.readouterr().err == "no such CPU\n"
