"""What a version is made from, as far as the checkout tells: settings, schema, code and commit."""

import pathlib
import subprocess

from components.curated_schema import schema_file
from pipeline import fingerprint
from pipeline.settings import Settings


def made_from(settings: Settings, path: pathlib.Path) -> dict[str, str]:
    """Fingerprints for the release record; no secret among them.

    Args:
      settings: the project's settings.
      path: the file that they come from.
    """
    return {
        "settings": fingerprint.text(path.read_bytes()),
        "schema": schema_file.fingerprint(settings.schema_file),
        "code": fingerprint.code("components", "trainer", "pipeline", "serving", "observability"),
        "commit": _commit(),
    }


def _commit() -> str:
    """The checkout's commit, with ``+`` where files differ from it; empty outside git."""
    git = ["git", "-C", str(fingerprint.ROOT)]
    try:
        told = [
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told[0].strip() + ("+" if told[1].strip() else "")
