"""The command line answers at once and says what it knows."""

import subprocess
import sys

from click.testing import CliRunner

from pipeline.__main__ import _VERBS, main

HEAVY = ("tensorflow", "tfx", "apache_beam", "pyarrow", "numpy", "sqlalchemy", "pydantic")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from pipeline.__main__ import main\n"
        "told = CliRunner().invoke(main, ['--help'])\n"
        "assert told.exit_code == 0, told.output\n"
        f"print([m for m in {HEAVY} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_verb_has_help() -> None:
    for verb in _VERBS:
        told = CliRunner().invoke(main, [verb, "--help"])
        assert told.exit_code == 0, told.output
        assert "Usage:" in told.output


def test_unknown_verb_is_refused() -> None:
    told = CliRunner().invoke(main, ["trian"])
    assert told.exit_code == 2
    assert "No such command 'trian'" in told.output
