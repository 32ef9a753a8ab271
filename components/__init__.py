"""TFX components of the pipeline: one folder a component."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """The artifact types by the names under which TFX looks for them, imported on demand."""
    if name in ("QualityReport", "Quarantine"):
        return getattr(importlib.import_module("components.ingest.artifacts"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
