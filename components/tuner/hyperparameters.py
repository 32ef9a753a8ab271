"""The file in a ``HyperParameters`` artifact: KerasTuner's form, of which ``values`` counts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILE = "best_hyperparameters.txt"


def write(folder: Path, values: Mapping[str, Any]) -> None:
    """Writes hyperparameters by name, as TFX hands them to Trainer."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"space": [], "values": dict(values)}, indent=2)
    (folder / _FILE).write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """Reads what ``write`` wrote."""
    return dict(json.loads((folder / _FILE).read_text(encoding="utf-8"))["values"])
