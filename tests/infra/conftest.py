"""What the overlays render to, built by kustomize itself."""

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
KUBERNETES = INFRA / "kubernetes"

Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def build() -> Callable[[str], list[Manifest]]:
    """Builds a folder of infra/kubernetes into its objects, once."""
    command = [_kustomize(), "build"]

    @functools.cache
    def run(folder: str) -> list[Manifest]:
        result = subprocess.run(
            [*command, str(KUBERNETES / folder)],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )
        assert result.returncode == 0, result.stderr
        assert not result.stderr, result.stderr
        return list(yaml.safe_load_all(result.stdout))

    return run


def _kustomize() -> str:
    unpacked = INFRA.parent / ".tools/kustomize/usr/bin/kustomize"
    found = shutil.which("kustomize") or (str(unpacked) if unpacked.exists() else None)
    assert found, "no kustomize: make test-services fetches it"
    return found
