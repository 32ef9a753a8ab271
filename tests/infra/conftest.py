"""What the overlays render to, built by kustomize itself."""

import functools
import json
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
    """Builds a folder of infra/kubernetes into its objects, once.

    Needs `kustomize`, or a `kubectl` that brings kustomize 4 or newer (kubectl 1.21).
    """
    command = _kustomize()

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


def _kustomize() -> list[str]:
    if found := shutil.which("kustomize"):
        return [found, "build"]
    found = shutil.which("kubectl")
    if not found:
        pytest.skip("neither kustomize nor kubectl is installed")
    result = subprocess.run(
        [found, "version", "--client", "--output=json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    version = json.loads(result.stdout).get("kustomizeVersion", "v2")
    if int(version.lstrip("v").split(".")[0]) < 4:
        pytest.skip(f"kubectl brings kustomize {version}; the overlays need 4 or newer")
    return [found, "kustomize"]
